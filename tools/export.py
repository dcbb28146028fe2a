"""The tools in the format of whoever calls them: providers of models, protocols, generators of clients.

Each format is written from the same schemas (:mod:`tools.schema`), and is the same bytes in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from tools.dialects import gemini_schema, strict_schema
from tools.openapi import tools_document
from tools.registry import ToolRegistry
from tools.schema import Schema, components, json_schema
from tools.tool import AnyTool

JSON_SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class ToolFormat(StrEnum):
    """A format to have the tools in."""

    OPENAI = "openai"
    OPENAI_STRICT = "openai-strict"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    JSON_SCHEMA = "jsonschema"
    OPENAPI = "openapi"
    MCP = "mcp"


FORMAT_WORDS: Final[Mapping[ToolFormat, str]] = MappingProxyType(
    {
        ToolFormat.OPENAI: "`tools=` of a chat completion, of OpenAI and whoever is compatible. For the Responses API, "
        "lift what is under `function` beside `type`.",
        ToolFormat.OPENAI_STRICT: "The same for strict mode: every field is required, what may be left out may be "
        "null, and limits are in words.",
        ToolFormat.ANTHROPIC: "`tools=` of a message of Anthropic's API.",
        ToolFormat.GEMINI: "An entry of the `tools` of Gemini's `generateContent`, in its subset of OpenAPI.",
        ToolFormat.JSON_SCHEMA: "One JSON Schema (2020-12) of calls: by the tool's name, its `arguments` and `result`.",
        ToolFormat.OPENAPI: "The operations of the tools, OpenAPI 3.1.",
        ToolFormat.MCP: "The result of `tools/list` of the Model Context Protocol.",
    }
)
"""What each is, in Markdown."""


def exported(tools: ToolRegistry, tool_format: ToolFormat) -> bytes:
    """The tools as JSON, indented, with a line feed at the end."""
    document = _EXPORTERS[tool_format](tools)
    return msgspec.json.format(msgspec.json.encode(document)) + b"\n"


def openai_tool(tool: AnyTool, *, strict: bool) -> Schema:
    """A tool of a chat completion. For the Responses API, lift what is under ``function`` beside ``type``."""
    schema = json_schema(tool.input)
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": strict_schema(schema) if strict else schema,
            # The Responses API takes what says nothing for strict.
            "strict": strict,
        },
    }


def anthropic_tool(tool: AnyTool) -> Schema:
    """A tool of Anthropic's Messages API."""
    return {"name": tool.name, "description": tool.description, "input_schema": json_schema(tool.input)}


def gemini_function(tool: AnyTool) -> Schema:
    """A function declaration of the Gemini API."""
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": gemini_schema(json_schema(tool.input)),
    }


def mcp_tool(tool: AnyTool) -> Schema:
    """A tool of the Model Context Protocol."""
    return {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": json_schema(tool.input),
        "outputSchema": json_schema(tool.output),
        "annotations": {
            "readOnlyHint": tool.annotations.read_only,
            "destructiveHint": tool.annotations.destructive,
            "idempotentHint": tool.annotations.idempotent,
            "openWorldHint": tool.annotations.open_world,
        },
    }


def _openai(tools: ToolRegistry) -> Sequence[Schema]:
    return [openai_tool(tool, strict=False) for tool in tools]


def _openai_strict(tools: ToolRegistry) -> Sequence[Schema]:
    return [openai_tool(tool, strict=True) for tool in tools]


def _anthropic(tools: ToolRegistry) -> Sequence[Schema]:
    return [anthropic_tool(tool) for tool in tools]


def _gemini(tools: ToolRegistry) -> Schema:
    return {"functionDeclarations": [gemini_function(tool) for tool in tools]}


def _json_schema(tools: ToolRegistry) -> Schema:
    kinds = [kind for tool in tools for kind in (tool.input, tool.output)]
    calls = {
        tool.name: {
            "description": tool.description,
            "type": "object",
            "properties": {
                "arguments": {"$ref": f"#/$defs/{tool.input.__name__}"},
                "result": {"$ref": f"#/$defs/{tool.output.__name__}"},
            },
            "additionalProperties": False,
        }
        for tool in tools
    }
    return {
        "$schema": JSON_SCHEMA_DIALECT,
        "title": "Antiphon tools",
        "type": "object",
        "properties": calls,
        "additionalProperties": False,
        "$defs": components(kinds, ref_template="#/$defs/{name}"),
    }


def _mcp(tools: ToolRegistry) -> Schema:
    return {"tools": [mcp_tool(tool) for tool in tools]}


_EXPORTERS: Final[Mapping[ToolFormat, Callable[[ToolRegistry], object]]] = MappingProxyType(
    {
        ToolFormat.OPENAI: _openai,
        ToolFormat.OPENAI_STRICT: _openai_strict,
        ToolFormat.ANTHROPIC: _anthropic,
        ToolFormat.GEMINI: _gemini,
        ToolFormat.JSON_SCHEMA: _json_schema,
        ToolFormat.OPENAPI: tools_document,
        ToolFormat.MCP: _mcp,
    }
)
