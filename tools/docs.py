"""The page about the tools, ``docs/tools.md``, written from their definitions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import msgspec

from schemas.tools import ToolAnnotations
from tools.export import FORMAT_WORDS
from tools.openapi import given_fields
from tools.registry import ToolRegistry
from tools.schema import Schema, json_schema
from tools.tool import AnyTool
from tools.words import default_words, type_words

_INTRODUCTION: Final = """\
<!-- Written by `antiphon tools docs` (make docs). Edit the definitions in tools/ and schemas/tools.py instead. -->

# Tools

Speech for language-model agents, as typed functions. Each can be called

- over HTTP: `POST /v1/tools/{name}` with the arguments as JSON; the response is the result as JSON. With
  `Accept: text/event-stream` it is a stream of events: `progress`, `segment` and `audio` while the tool works, then
  `result`, or `error` if it failed. Disconnecting cancels the call;
- from a shell: `antiphon tools NAME` calls a running server. A value `@FILE` stands for what is in the file;
- from a framework: `GET /v1/tools` returns names, descriptions and JSON Schemas.

`antiphon tools export --format FORMAT`, and `GET /v1/tools?format=FORMAT` of a running server, have the same schemas in
the form that others want them in:

{formats}

Arguments are checked strictly: unknown fields and wrong types are errors that name the field. Null stands for an
argument that was left out.
Errors have the shape of all errors of this server: `{"error": {"code", "message", "param", "retryable", …}}`.
"""


def tools_page(tools: ToolRegistry) -> str:
    """The page, in Markdown."""
    rows = [f"| [{tool.name}](#{tool.name}) | {tool.title} |" for tool in tools]
    overview = "\n".join(["| tool | |", "|---|---|", *rows]) + "\n"
    formats = "\n".join(
        ["| format | |", "|---|---|", *(f"| `{name}` | {words} |" for name, words in FORMAT_WORDS.items())]
    )
    introduction = _INTRODUCTION.replace("{formats}", formats)
    return "\n".join([introduction, overview, *(_tool_section(tool) for tool in tools), *_types(tools)])


def _tool_section(tool: AnyTool) -> str:
    lines = [f"## {tool.name}", "", tool.description, "", f"{_annotations(tool.annotations)}.", ""]
    for schema in (json_schema(tool.input), json_schema(tool.output)):
        lines += [schema["description"], "", *_fields(schema), ""]
    arguments, result = tool.example
    lines += [f"```json\n{json.dumps(given_fields(arguments))}\n{json.dumps(msgspec.to_builtins(result))}\n```", ""]
    return "\n".join(lines)


def _annotations(annotations: ToolAnnotations) -> str:
    return ", ".join(
        [
            "Changes nothing" if annotations.read_only else "Changes the session",
            *(["ends it"] if annotations.destructive else []),
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
        body = "\n".join(_fields(schema)) if "properties" in schema else type_words(schema)
        yield f"{head}\n{body}\n"


def _fields(schema: Schema) -> list[str]:
    required: list[str] = schema.get("required", [])
    rows = [
        f"| `{name}` | {type_words(field, named=_link)} | {_default(name, field, required)} | "
        f"{field.get('description', '')} |"
        for name, field in schema["properties"].items()
    ]
    return ["| field | type | default | |", "|---|---|---|---|", *rows]


def _default(name: str, field: Schema, required: list[str]) -> str:
    if name in required:
        return "required"
    words = default_words(field)
    return f"`{words}`" if words else ""


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"
