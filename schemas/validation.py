"""Requests into Structs. What msgspec finds wrong becomes a typed error that names the field and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar, Union

import msgspec

from schemas.errors import ErrorCode, SpeechError

_PLACE: Final = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_UNKNOWN: Final = re.compile(r"^Object contains unknown field `(?P<name>.*)`$", re.DOTALL)
_MISSING: Final = re.compile(r"^Object missing required field `(?P<name>.*)`$")

MAX_COMMAS: Final = 100_000
"""To decode millions of small elements takes a second, only to find that they are too many. Base64 has none."""

T = TypeVar("T", bound=msgspec.Struct)


def decoded_json(body: bytes | str, *kinds: type[T]) -> T:
    """JSON as one of ``kinds``, which are told apart by their tags.

    Raises:
        SpeechError: ``invalid_json`` or ``invalid_request``.
    """
    try:
        return _decoded(body, Union[kinds])  # noqa: UP007  the members are known at run time only
    except msgspec.ValidationError as error:
        raise invalid_request(error, *kinds) from error


def json_object(body: bytes | str) -> dict[str, object]:
    """JSON as an object of whatever fields.

    Raises:
        SpeechError: ``invalid_json`` or ``invalid_request``.
    """
    try:
        return _decoded(body, dict[str, object])
    except msgspec.ValidationError as error:
        raise invalid_request(error) from error


def require_commas(count: int) -> None:
    """Do nothing if JSON with so many commas may be decoded.

    Raises:
        SpeechError: ``invalid_request``.
    """
    if count > MAX_COMMAS:
        raise SpeechError(
            ErrorCode.INVALID_REQUEST, f"The body has more than {MAX_COMMAS} elements. Nothing here needs as many."
        )


def _decoded(body: bytes | str, kind: Any) -> Any:  # noqa: ANN401  what msgspec takes for a type
    require_commas(body.count(",") if isinstance(body, str) else body.count(b","))
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        raise SpeechError(ErrorCode.INVALID_JSON, f"The body is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise SpeechError(ErrorCode.INVALID_JSON, "The body is not acceptable JSON: it is nested too deep.") from error
    except UnicodeDecodeError as error:
        raise SpeechError(ErrorCode.INVALID_JSON, "The body is not valid JSON: it is not UTF-8.") from error


def converted(value: Mapping[str, object], kind: type[T], *, strict: bool = True) -> T:
    """Plain data as ``kind``; texts may stand for numbers only if it is not ``strict``.

    Raises:
        SpeechError: ``invalid_request``.
    """
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise invalid_request(error, kind) from error


def invalid_request(error: msgspec.ValidationError, *kinds: type[msgspec.Struct]) -> SpeechError:
    """The error of decoding a request as one of ``kinds``."""
    text = str(error)
    place = _PLACE.search(text)
    path = place["path"] if place else ""
    text = text[: place.start()] if place else text
    if unknown := _UNKNOWN.match(text):
        name = unknown["name"]
        fields = [field.encode_name for kind in kinds for field in msgspec.structs.fields(kind)]
        near = difflib.get_close_matches(name, fields, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        within = f" of {path}" if path else ""
        return _invalid(f"{_clipped(name)} is not a field{within}.{hint}", _joined(path, name))
    if missing := _MISSING.match(text):
        name = _joined(path, missing["name"])
        return _invalid(f"{name} is missing.", name)
    if not path:
        return _invalid(f"The body must be a JSON object; {text[0].lower()}{text[1:]}.", None)
    allowed: list[str] = []
    if text.startswith("Invalid enum value"):
        field = re.split(r"\.|\[", path)[0]
        allowed = [choice for kind in kinds for choice in _choices(msgspec.json.schema(kind), field)]
    elif path == "type" and text.startswith("Invalid value"):
        allowed = [str(kind.__struct_config__.tag) for kind in kinds]
    text = f"{text}; allowed: {', '.join(allowed)}" if allowed else text
    return _invalid(f"{path}: {text}.", path)


def _invalid(message: str, param: str | None) -> SpeechError:
    return SpeechError(ErrorCode.INVALID_REQUEST, message, param=None if param is None else _clipped(param))


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _clipped(name: str) -> str:
    # Names come from the client; an error message is no place for megabytes of them.
    limit_chars = 100
    return name if len(name) <= limit_chars else f"{name[:limit_chars]}…"


def _choices(schema: Mapping[str, Any], field: str) -> list[str]:
    definitions: dict[str, Any] = schema.get("$defs", {})

    def values(node: dict[str, Any]) -> list[str]:
        node = definitions[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        found = [str(value) for value in node.get("enum", [])]
        for child in [*node.get("anyOf", []), *([node["items"]] if "items" in node else [])]:
            found += values(child)
        return found

    root = definitions[schema["$ref"].rpartition("/")[2]]
    return values(root["properties"].get(field, {}))
