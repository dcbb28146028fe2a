"""JSON Schema as the function calling of models takes it, where it takes less than all.

What a dialect cannot say in keywords is put into the description, so that the model knows it all the same; the server
checks every argument whatever was promised. Neither dialect keeps references, so that nothing depends on how well an
endpoint follows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from tools.schema import Schema, referred, without_null
from tools.words import bound_words, default_words

_NO_DEFINITIONS: Final[Mapping[str, Schema]] = MappingProxyType({})
_GEMINI_BOUNDS: Final = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern")


def strict_schema(schema: Mapping[str, Any]) -> Schema:
    """For OpenAI's strict mode: every field is required, what may be left out may be null, nothing else is allowed.

    The server takes null for an argument that was left out. Limits of values go into words: which of their keywords are
    taken depends on the model.

    Source: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    return _strict(schema, schema.get("$defs", _NO_DEFINITIONS))


def gemini_schema(schema: Mapping[str, Any]) -> Schema:
    """For Gemini's ``Schema``, a subset of OpenAPI 3.0's: ``nullable``, types in capitals, enumerations with a format.

    Its ``default`` is there to be ignored, so defaults go into words.

    Source: https://ai.google.dev/api/caching#Schema
    """
    return _gemini(schema, schema.get("$defs", _NO_DEFINITIONS))


def _strict(node: Mapping[str, Any], definitions: Mapping[str, Schema], *, is_optional: bool = False) -> Schema:
    whole, given, may_be_null = _taken_apart(node, definitions)
    result: Schema
    match given:
        case {"anyOf": choices}:
            result = {"anyOf": [_strict(choice, definitions) for choice in choices]}
        case {"type": "object"}:
            required = given.get("required", ())
            result = {
                "type": "object",
                "properties": {
                    name: _strict(field, definitions, is_optional=name not in required)
                    for name, field in given["properties"].items()
                },
                "required": list(given["properties"]),
                "additionalProperties": False,
            }
        case {"type": "array"}:
            result = {"type": "array", "items": _strict(given["items"], definitions)}
        case _:
            result = {key: given[key] for key in ("type", "enum") if key in given}
    if may_be_null or is_optional:
        choices = result.get("anyOf", [result])
        result = {"anyOf": [*choices, {"type": "null"}]}
    return _with_description(result, whole, bound_words(given), default_words(whole))


def _gemini(node: Mapping[str, Any], definitions: Mapping[str, Schema]) -> Schema:
    whole, given, may_be_null = _taken_apart(node, definitions)
    result: Schema
    match given:
        case {"anyOf": choices}:
            result = {"anyOf": [_gemini(choice, definitions) for choice in choices]}
        case {"type": "object"}:
            result = {
                "type": "OBJECT",
                "properties": {name: _gemini(field, definitions) for name, field in given["properties"].items()},
                "required": list(given.get("required", ())),
                "propertyOrdering": list(given["properties"]),
            }
        case {"type": "array"}:
            result = {"type": "ARRAY", "items": _gemini(given["items"], definitions)}
        case {"enum": names}:
            result = {"type": "STRING", "format": "enum", "enum": list(names)}
        case _:
            result = {"type": str(given["type"]).upper()}
    result |= {key: given[key] for key in _GEMINI_BOUNDS if key in given}
    if may_be_null:
        result["nullable"] = True
    bounds = bound_words(given) if "exclusiveMinimum" in given else ""
    return _with_description(result, whole, bounds, default_words(whole))


def _taken_apart(
    node: Mapping[str, Any], definitions: Mapping[str, Schema]
) -> tuple[Mapping[str, Any], Mapping[str, Any], bool]:
    """A field with what it refers to put in; the schema of its values without null; and whether it may be null."""
    whole = {**referred(node, definitions), **node}
    given = without_null(whole)
    return whole, referred(given, definitions), given is not whole


def _with_description(result: Schema, whole: Mapping[str, Any], bounds: str, default: str) -> Schema:
    notes = [bounds, f"default {default}" if default not in {"", "null", "[]"} else ""]
    note = "; ".join(note for note in notes if note)
    words = [whole.get("description", ""), f"({note})" if note else ""]
    description = " ".join(word for word in words if word)
    return {"description": description, **result} if description else result
