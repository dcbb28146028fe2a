"""A JSON Schema in words, for documents, pages, the command line, and models that are not told its numbers.

The one place where schemas are put into words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from tools.schema import ref_name

_TYPES: Final = MappingProxyType({"string": "text", "integer": "whole number", "boolean": "true, false"})


def type_words(schema: Mapping[str, Any], *, named: Callable[[str], str] = str) -> str:
    """Which values are allowed: ``1 to 8 or null``.

    Args:
        schema: Of a field.
        named: What stands for a type that has a section of its own, by its name.
    """
    if "$ref" in schema:
        return named(ref_name(schema))
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(type_words(choice, named=named) for choice in schema[union])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {_plural(schema.get('items', {}), named)}"
    if "contentEncoding" in schema:
        return str(schema["contentEncoding"])
    kind = _TYPES.get(schema.get("type", "anything"), schema.get("type", "anything"))
    bounds = bound_words(schema)
    if bounds.startswith(("above", "at least")):
        return f"{kind}{', ' if bounds.startswith('at') else ' '}{bounds}"
    return f"{kind}, {bounds}" if bounds.startswith("at most") else bounds or kind


def bound_words(schema: Mapping[str, Any]) -> str:
    """The limits of a value: ``0.25 to 4``, ``at most 64 characters``. Empty if it has none."""
    if "pattern" in schema:
        return f"`{schema['pattern']}`"
    if schema.get("type") == "array":
        return f"at most {schema['maxItems']} of them" if "maxItems" in schema else ""
    if "maxLength" in schema:
        return f"at most {schema['maxLength']} characters"
    lowest, above, highest = (schema.get(bound) for bound in ("minimum", "exclusiveMinimum", "maximum"))
    if lowest is not None and highest is not None:
        return f"{lowest:g} to {highest:g}"
    bounds = {"above": above, "at least": lowest, "at most": highest}
    return ", ".join(f"{words} {bound:g}" for words, bound in bounds.items() if bound is not None)


def default_words(schema: Mapping[str, Any]) -> str:
    """The default as JSON. Empty for a whole object: its default is that of its fields."""
    if "default" not in schema or isinstance(schema["default"], dict):
        return ""
    return json.dumps(schema["default"], ensure_ascii=False)


def _plural(items: Mapping[str, Any], named: Callable[[str], str]) -> str:
    if items.get("type") in {"string", "integer", "number"} and "enum" not in items:
        return f"{_TYPES.get(items['type'], 'number')}s"
    return type_words(items, named=named)
