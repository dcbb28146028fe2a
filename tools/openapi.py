"""The tools as operations of OpenAPI 3.1: a part of the server's ``/openapi.json``, and a document of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Final

import msgspec
from msgspec import Struct

from schemas.errors import ErrorBody, ErrorDetail, SpeechError, codes_by_status
from schemas.tools import ToolAudio, ToolProgress, ToolSegment
from tools.registry import ToolRegistry
from tools.schema import Schema, components, referred
from tools.tool import AnyTool

REF: Final = "#/components/schemas/{name}"
DEFAULT_SERVER_URL: Final = "http://127.0.0.1:8080"

_ERROR_STATUSES: Final = (400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 502, 503, 504)
_NULL: Final = {"type": "null"}
_EVENTS: Final = {"progress": ToolProgress, "segment": ToolSegment, "audio": ToolAudio, "error": ErrorBody}


def tools_document(tools: ToolRegistry) -> Schema:
    """The operations of tools alone, for frameworks that make functions of an OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Antiphon tools",
            "version": version("antiphon"),
            "description": "Speech for language-model agents, as typed functions.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": DEFAULT_SERVER_URL}],
        "paths": tool_paths(tools),
        "components": {"schemas": tool_components(tools)},
    }


def tool_paths(tools: Iterable[AnyTool]) -> dict[str, Schema]:
    """Path items of tools. They refer to :func:`tool_components`."""
    return {f"/v1/tools/{tool.name}": {"post": _operation(tool)} for tool in tools}


def tool_components(tools: Iterable[AnyTool]) -> dict[str, Schema]:
    """The schemas that operations of tools refer to."""
    kinds = {kind for tool in tools for kind in (tool.input, tool.output)} | set(_EVENTS.values())
    schemas = components(sorted(kinds, key=lambda kind: kind.__name__), ref_template=REF)
    return schemas | {name: _arguments(schemas[name], schemas) for name in (tool.input.__name__ for tool in tools)}


def _arguments(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """A schema of arguments as the registry takes them: null stands for what was left out, at any depth.

    Objects stand in place of references to them: elsewhere they have no such nulls.
    """
    match node:
        case {"$ref": _, **words} if "properties" in (target := referred(node, definitions)):
            return {**_arguments(dict(target), definitions), **words}
        case {"properties": properties, "required": required}:
            fields = {
                name: _argument(field, definitions, is_optional=name not in required)
                for name, field in properties.items()
            }
            return {**node, "properties": fields}
        case {"items": items}:
            return {**node, "items": _arguments(items, definitions)}
        case {"anyOf": choices}:
            return {**node, "anyOf": [_arguments(choice, definitions) for choice in choices]}
        case _:
            return node


def _argument(field: Schema, definitions: Mapping[str, Schema], *, is_optional: bool) -> Schema:
    value = _arguments(field, definitions)
    if not is_optional or _NULL in value.get("anyOf", ()):
        return value
    words = {key: field[key] for key in ("description", "default") if key in field}
    return {**words, "anyOf": [{key: value[key] for key in value if key not in words}, _NULL]}


def _operation(tool: AnyTool) -> Schema:
    result = _ref(tool.output)
    arguments, example_result = tool.example
    return {
        "tags": ["tools"],
        "summary": tool.title,
        "description": tool.description,
        "operationId": tool.name,
        "requestBody": {
            "content": {"application/json": {"schema": _ref(tool.input), "example": given_fields(arguments)}},
            "required": True,
        },
        "responses": {
            "200": {
                "description": "The result; with `Accept: text/event-stream` the last of a stream of events.",
                "content": {
                    "application/json": {"schema": result, "example": msgspec.to_builtins(example_result)},
                    "text/event-stream": {
                        "schema": sent_event(
                            "progress, segment and audio come while the tool works; then result, or error."
                        ),
                        "x-events": {**{name: _ref(kind) for name, kind in _EVENTS.items()}, "result": result},
                    },
                },
            },
            **{
                str(status): {
                    "description": f"Codes: {', '.join(codes_by_status(status))}",
                    "content": {"application/json": {"schema": _ref(ErrorBody), "example": error_example(status)}},
                }
                for status in _ERROR_STATUSES
            },
        },
    }


def sent_event(words: str) -> Schema:
    """The schema of one server-sent event.

    Args:
        words: Which come when.
    """
    return {
        "type": "object",
        "description": f"A server-sent event: `event` names what `data` is, JSON as in x-events. {words}",
        "properties": {
            "id": {"type": "string"},
            "event": {"type": "string"},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
    }


def error_example(status: int) -> Schema:
    """An error response with a status, as plain data."""
    code = codes_by_status(status)[0]
    error = SpeechError(code, "What was wrong, and what to do about it.")
    detail = ErrorDetail(
        message=error.message, type=error.type, param=None, code=code, retryable=error.retryable, request_id="0f3c"
    )
    return {"error": msgspec.to_builtins(detail)}


def given_fields(value: Struct) -> Schema:
    """A Struct as plain data, without the fields that are at their defaults."""
    plain: Schema = msgspec.to_builtins(value)
    fields = msgspec.structs.fields(value)
    defaults = {field.encode_name for field in fields if getattr(value, field.name) == field.default}
    return {name: field for name, field in plain.items() if name not in defaults}


def _ref(kind: type) -> Schema:
    return {"$ref": REF.format(name=kind.__name__)}
