"""The page about the tools, ``docs/tools.md``, written from their definitions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from schemas.tools import ToolAnnotations
from tools.registry import ToolRegistry
from tools.schema import Schema, json_schema
from tools.tool import AnyTool

_INTRODUCTION: Final = """\
<!-- Written by `antiphon tools docs` (make docs). Edit the definitions in tools/ and schemas/tools.py instead. -->

# Tools

Speech for language-model agents, as typed functions. Each can be called

- over HTTP: `POST /v1/tools/{name}` with the arguments as JSON; the response is the result as JSON. With
  `Accept: text/event-stream` it is a stream of events: `progress`, `segment` and `audio` while the tool works, then
  `result`, or `error` if it failed. Disconnecting cancels the call;
- from a shell: `antiphon tools NAME` calls a running server. A value `@FILE` stands for what is in the file;
- from a framework: `GET /v1/tools` returns names, descriptions and JSON Schemas.

Arguments are checked strictly: unknown fields and wrong types are errors that name the field.
Errors have the shape of all errors of this server: `{"error": {"code", "message", "param", "retryable", …}}`.
"""


def tools_page(tools: ToolRegistry) -> str:
    """The page, in Markdown."""
    rows = [f"| [{tool.name}](#{tool.name}) | {tool.title} |" for tool in tools]
    overview = "\n".join(["| tool | |", "|---|---|", *rows]) + "\n"
    return "\n".join([_INTRODUCTION, overview, *(_tool_section(tool) for tool in tools), *_types(tools)])


def _tool_section(tool: AnyTool) -> str:
    lines = [f"## {tool.name}", "", tool.description, "", f"{_annotations(tool.annotations)}.", ""]
    for schema in (json_schema(tool.input), json_schema(tool.output)):
        lines += [schema["description"], "", *_fields(schema), ""]
    return "\n".join(lines)


def _annotations(annotations: ToolAnnotations) -> str:
    return ", ".join(
        [
            "Changes nothing" if annotations.read_only else "Changes the session",
            "the same when repeated" if annotations.idempotent else "not the same when repeated",
            "reaches the user of a session" if annotations.open_world else "stays within the server",
        ]
    )


def _types(tools: ToolRegistry) -> Iterator[str]:
    """A section for each type that arguments and results refer to."""
    definitions: dict[str, Schema] = {}
    for tool in tools:
        for kind in (tool.input, tool.output):
            definitions |= json_schema(kind).get("$defs", {})
    yield "# Types\n"
    for name, schema in sorted(definitions.items()):
        head = f"## {name}\n\n{schema.get('description', '')}\n"
        body = "\n".join(_fields(schema)) if "properties" in schema else _type(schema)
        yield f"{head}\n{body}\n"


def _fields(schema: Schema) -> list[str]:
    required: list[str] = schema.get("required", [])
    rows = [
        f"| `{name}` | {_type(field)} | {_default(name, field, required)} | {field.get('description', '')} |"
        for name, field in schema["properties"].items()
    ]
    return ["| field | type | default | |", "|---|---|---|---|", *rows]


def _default(name: str, field: Schema, required: list[str]) -> str:
    if name in required:
        return "required"
    # Defaults of whole objects are the defaults of their fields.
    default = field.get("default")
    return "" if isinstance(default, dict) else f"`{json.dumps(default)}`"


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    return "base64" if "contentEncoding" in schema else f"{schema['type']}{_bounds(schema)}"


def _bounds(schema: Schema) -> str:
    lowest = schema.get("minimum", schema.get("exclusiveMinimum"))
    highest = schema.get("maximum")
    if lowest is not None and highest is not None:
        above = "above " if "exclusiveMinimum" in schema else ""
        return f", {above}{lowest:g} to {highest:g}"
    if lowest is not None:
        return f", at least {lowest:g}"
    return f", at most {schema['maxLength']} characters" if "maxLength" in schema else ""
