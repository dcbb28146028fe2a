"""The tools as operations of OpenAPI 3.1: a part of the server's ``/openapi.json``, and a document of its own."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Final

import msgspec
from msgspec import Struct

from schemas.errors import ErrorBody, ErrorDetail, SpeechError, codes_by_status
from schemas.tools import ToolAudio, ToolProgress, ToolSegment
from tools.registry import ToolRegistry
from tools.schema import Schema, components
from tools.tool import AnyTool

REF: Final = "#/components/schemas/{name}"
DEFAULT_SERVER_URL: Final = "http://127.0.0.1:8080"

_ERROR_STATUSES: Final = (400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 502, 503, 504)
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
    return components(sorted(kinds, key=lambda kind: kind.__name__), ref_template=REF)


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
                        "schema": {
                            "type": "string",
                            "description": "Server-sent events: `event` names what `data` is, JSON as in x-events. "
                            "progress, segment and audio come while the tool works; then result, or error.",
                        },
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
