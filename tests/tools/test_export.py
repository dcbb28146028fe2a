from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import mcp_types
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openai.types.chat import ChatCompletionFunctionToolParam
from pydantic import TypeAdapter

from tools.dialects import gemini_schema, strict_schema
from tools.export import FORMAT_WORDS, ToolFormat, exported
from tools.registry import TOOLS
from tools.schema import json_schema

NAMES = [tool.name for tool in TOOLS]
EVERY_FORMAT = pytest.mark.parametrize("tool_format", list(ToolFormat))
OPENAI_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""Of functions of OpenAI and tools of Anthropic."""
GEMINI_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.-]{0,63}")
OPENAI_DESCRIPTION_CHARS = 1_024
STRICT_KEYWORDS = {"type", "description", "properties", "required", "additionalProperties", "items", "enum", "anyOf"}
"""Those that strict mode takes of every model. Others depend on it."""
STRICT_DEPTH = 10
STRICT_PROPERTIES = 5_000
GEMINI_TYPES = {"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT"}
GEMINI_KEYWORDS = {
    *("type", "format", "description", "nullable", "enum", "items", "properties", "required", "propertyOrdering"),
    *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "anyOf"),
}


def export(tool_format: ToolFormat) -> Any:
    return json.loads(exported(TOOLS, tool_format))


def functions(tool_format: ToolFormat) -> dict[str, Any]:
    return {tool["function"]["name"]: tool["function"] for tool in export(tool_format)}


def subschemas(schema: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[Mapping[str, Any], int]]:
    yield schema, depth
    for field in schema.get("properties", {}).values():
        yield from subschemas(field, depth + 1)
    for choice in schema.get("anyOf", ()):
        yield from subschemas(choice, depth)
    if "items" in schema:
        yield from subschemas(schema["items"], depth + 1)


@EVERY_FORMAT
def test_an_export_is_the_one_in_the_repository(root: Path, tool_format: ToolFormat) -> None:
    kept = (root / "tests" / "tools" / "exports" / f"{tool_format}.json").read_bytes()
    assert exported(TOOLS, tool_format) == kept, "run: make docs"


def test_exports_are_the_same_bytes_in_every_process(root: Path) -> None:
    code = (
        "import sys; from tools.export import *; from tools.registry import TOOLS; "
        "sys.stdout.buffer.write(b''.join(exported(TOOLS, name) for name in ToolFormat))"
    )
    for seed in ("1", "2"):
        made = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, cwd=root, capture_output=True, check=True
        )
        assert made.stdout == b"".join(exported(TOOLS, name) for name in ToolFormat)


def test_every_format_is_described() -> None:
    assert set(FORMAT_WORDS) == set(ToolFormat)


@pytest.mark.parametrize("tool_format", [ToolFormat.OPENAI, ToolFormat.OPENAI_STRICT])
def test_openai_functions_keep_its_rules(tool_format: ToolFormat) -> None:
    tools = export(tool_format)
    TypeAdapter(list[ChatCompletionFunctionToolParam]).validate_python(tools, strict=True)
    assert list(functions(tool_format)) == NAMES
    for name, function in functions(tool_format).items():
        assert OPENAI_NAME.fullmatch(name)
        assert 0 < len(function["description"]) <= OPENAI_DESCRIPTION_CHARS
        assert function["strict"] is (tool_format is ToolFormat.OPENAI_STRICT)


@pytest.mark.parametrize("name", NAMES)
def test_a_strict_schema_keeps_the_rules_of_strict_mode(name: str) -> None:
    schema = functions(ToolFormat.OPENAI_STRICT)[name]["parameters"]
    assert schema["type"] == "object"
    count = 0
    for node, depth in subschemas(schema):
        assert set(node) <= STRICT_KEYWORDS
        assert ("type" in node) != ("anyOf" in node)
        assert depth <= STRICT_DEPTH
        if node.get("type") == "object":
            count += len(node["properties"])
            assert node["additionalProperties"] is False
            assert node["required"] == list(node["properties"])
    assert count <= STRICT_PROPERTIES


@pytest.mark.parametrize("name", NAMES)
def test_a_strict_schema_lets_what_is_optional_be_null_and_nothing_else(name: str) -> None:
    plain = json_schema(TOOLS[name].input)
    for field, schema in functions(ToolFormat.OPENAI_STRICT)[name]["parameters"]["properties"].items():
        may_be_null = {"type": "null"} in schema.get("anyOf", ())
        assert may_be_null is (field not in plain["required"]), field


def test_limits_and_defaults_that_a_dialect_cannot_say_are_told_in_words() -> None:
    timeout = functions(ToolFormat.OPENAI_STRICT)["listen"]["parameters"]["properties"]["timeout_s"]
    assert timeout["description"].endswith("(above 0, at most 300; default 30.0)")
    (say,) = (tool for tool in export(ToolFormat.GEMINI)["functionDeclarations"] if tool["name"] == "say")
    assert say["parameters"]["properties"]["speed"]["description"].endswith("(default 1.0)")
    assert say["parameters"]["properties"]["speed"]["maximum"] == 4.0


def test_anthropic_tools_keep_its_rules() -> None:
    tools = export(ToolFormat.ANTHROPIC)
    assert [tool["name"] for tool in tools] == NAMES
    for tool in tools:
        assert set(tool) == {"name", "description", "input_schema"}
        assert OPENAI_NAME.fullmatch(tool["name"])
        schema = tool["input_schema"]
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        assert not {"anyOf", "oneOf", "allOf"} & set(schema)


def test_gemini_declarations_keep_its_rules() -> None:
    declarations = export(ToolFormat.GEMINI)["functionDeclarations"]
    assert [declaration["name"] for declaration in declarations] == NAMES
    for declaration in declarations:
        assert set(declaration) == {"name", "description", "parameters"}
        assert GEMINI_NAME.fullmatch(declaration["name"])
        for node, _ in subschemas(declaration["parameters"]):
            assert set(node) <= GEMINI_KEYWORDS
            assert node["type"] in GEMINI_TYPES
            assert node.get("format") == ("enum" if "enum" in node else None)
            assert set(node.get("required", ())) <= set(node.get("properties", ()))


def test_a_dialect_keeps_a_choice_of_types() -> None:
    schema = {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 1}, {"type": "null"}]}
    choices = [{"type": "string"}, {"description": "(at least 1)", "type": "integer"}, {"type": "null"}]
    assert strict_schema(schema) == {"anyOf": choices}
    assert gemini_schema({"anyOf": schema["anyOf"], "type": "string"})["nullable"] is True


def test_the_json_schema_validates_calls() -> None:
    schema = export(ToolFormat.JSON_SCHEMA)
    Draft202012Validator.check_schema(schema)
    validator: Any = Draft202012Validator(schema)
    assert list(schema["properties"]) == NAMES
    assert validator.is_valid({"say": {"arguments": {"session_id": "s", "text": "Hi."}}})
    assert not validator.is_valid({"say": {"arguments": {"text": "Hi."}}})
    assert not validator.is_valid({"sing": {}})
    assert validator.is_valid({"listen": {"result": {"status": "timeout"}}})


def test_mcp_tools_are_those_of_the_protocol() -> None:
    document = export(ToolFormat.MCP)
    tools = mcp_types.ListToolsResult.model_validate(document).tools
    assert [tool.name for tool in tools] == NAMES
    for tool in tools:
        assert tool.input_schema["type"] == "object"
        assert tool.output_schema is not None
        assert tool.output_schema["type"] == "object"
        for schema in (tool.input_schema, tool.output_schema):
            Draft202012Validator.check_schema(schema)
    assert document["tools"][0]["annotations"]["readOnlyHint"] is True


def test_only_closing_a_session_is_destructive() -> None:
    tools = export(ToolFormat.MCP)["tools"]
    assert [tool["name"] for tool in tools if tool["annotations"]["destructiveHint"]] == ["close_session"]


def test_the_openapi_document_is_complete_in_itself() -> None:
    text = exported(TOOLS, ToolFormat.OPENAPI).decode()
    document = json.loads(text)
    references = set(re.findall(r'"\$ref": "([^"]*)"', text))
    assert references <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert [path["post"]["operationId"] for path in document["paths"].values()] == NAMES


def test_every_surface_has_the_same_schema() -> None:
    tools = {tool["name"]: tool for tool in export(ToolFormat.MCP)["tools"]}
    definitions = export(ToolFormat.JSON_SCHEMA)["$defs"]
    for tool in TOOLS:
        schema = json_schema(tool.input)
        assert functions(ToolFormat.OPENAI)[tool.name]["parameters"] == schema == tools[tool.name]["inputSchema"]
        alone = {key: value for key, value in schema.items() if key != "$defs"}
        assert definitions[tool.input.__name__] == alone


def strict_values(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Anything that strict mode lets a model say."""
    match schema:
        case {"anyOf": choices}:
            return st.one_of([strict_values(choice) for choice in choices])
        case {"enum": names}:
            return st.sampled_from(cast("list[str]", names))
        case {"type": "object"}:
            return st.fixed_dictionaries({name: strict_values(field) for name, field in schema["properties"].items()})
        case {"type": "array"}:
            return st.lists(strict_values(schema["items"]), max_size=2)
        case {"type": "string"}:
            return st.text("abc", min_size=1, max_size=5)
        case {"type": "null"}:
            return st.none()
        case {"type": "boolean"}:
            return st.booleans()
        case _:
            return st.just(1)


@given(st.data())
def test_what_strict_mode_lets_a_model_say_is_taken_for_what_it_leaves_out(data: st.DataObject) -> None:
    tool = data.draw(st.sampled_from(list(TOOLS)))
    schema = strict_schema(json_schema(tool.input))
    # Limits are not in the schema: only values within all of them are drawn.
    drawn: dict[str, Any] = data.draw(strict_values(schema))
    fields: dict[str, Any] = {
        name: value
        for name, value in drawn.items()
        if value is None or type(value) in {str, bool, list} or name == "beam_size"
    }
    decoded = TOOLS.decode(tool.name, json.dumps(fields).encode())
    kept = msgspec.to_builtins(decoded)
    for name, value in fields.items():
        if isinstance(value, (str, bool)):
            assert kept[name] == value
