from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.registry import TOOLS
from tools.schema import Schema, json_schema, plain_text, tool_info

EVERY_SCHEMA = {
    f"{tool.name}.{side}": json_schema(kind)
    for tool in TOOLS
    for side, kind in (("input", tool.input), ("output", tool.output))
}


def nodes(schema: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, dict):
        node = cast("dict[str, Any]", schema)
        yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(schema, list):
        for value in cast("list[Any]", schema):
            yield from nodes(value)


@pytest.mark.parametrize("schema", EVERY_SCHEMA.values(), ids=EVERY_SCHEMA)
def test_a_schema_is_an_object_that_needs_nothing_from_outside(schema: Schema) -> None:
    assert schema["type"] == "object"
    references = {node["$ref"] for node in nodes(schema) if "$ref" in node}
    assert references <= {f"#/$defs/{name}" for name in schema.get("$defs", {})}


@pytest.mark.parametrize("schema", EVERY_SCHEMA.values(), ids=EVERY_SCHEMA)
def test_descriptions_are_plain_text(schema: Schema) -> None:
    descriptions = [node["description"] for node in nodes(schema) if isinstance(node.get("description"), str)]
    assert descriptions
    assert not [text for text in descriptions if "``" in text or ":data:" in text or "\n" in text]


@pytest.mark.parametrize("tool", tuple(TOOLS), ids=lambda tool: tool.name)
def test_every_argument_is_described_and_unknown_ones_are_refused(tool: Any) -> None:
    schema = json_schema(tool.input)
    definitions = schema.get("$defs", {})
    for name, field in schema["properties"].items():
        definition = definitions.get(field.get("$ref", "").rpartition("/")[2], {})
        assert field.get("description") or definition.get("description"), name
    assert schema["additionalProperties"] is False


def test_docstrings_of_fields_are_their_descriptions() -> None:
    turn = EVERY_SCHEMA["open_session.input"]["$defs"]["TurnSettings"]["properties"]
    assert turn["barge_in"]["description"].startswith("Whether speech of the user stops the agent.")


def test_fields_of_a_base_class_are_described_too() -> None:
    prompt = EVERY_SCHEMA["open_session.input"]["properties"]["prompt"]
    assert prompt["description"] == "Text that primes recognition: what was said before, or how it is to be written."


def test_markup_of_docstrings_is_removed() -> None:
    assert plain_text("A ``x`` of\n  :class:`~a.b`; ``None`` if not.") == "A x of a.b; null if not."


def test_a_caller_sees_the_schemas_and_what_it_may_assume() -> None:
    info = msgspec.to_builtins(tool_info(TOOLS["say"]))
    assert info["name"] == "say"
    assert info["input_schema"]["required"] == ["session_id", "text"]
    expected = {"read_only": False, "idempotent": False, "destructive": False, "open_world": True}
    assert info["annotations"] == expected


def test_schemas_are_the_same_bytes_in_every_process(root: Path) -> None:
    code = (
        "import msgspec, sys; from tools.registry import TOOLS; from tools.schema import tool_info; "
        "sys.stdout.buffer.write(msgspec.json.encode([tool_info(tool) for tool in TOOLS]))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, cwd=root, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert seen == {msgspec.json.encode([tool_info(tool) for tool in TOOLS])}


def values(schema: Schema, definitions: Mapping[str, Schema]) -> st.SearchStrategy[Any]:
    """Anything the schema allows."""
    if "$ref" in schema:
        return values(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return st.one_of([values(choice, definitions) for choice in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "object":
            fields = {name: values(field, definitions) for name, field in schema["properties"].items()}
            required = {name: fields.pop(name) for name in schema["required"]}
            return st.fixed_dictionaries(required, optional=fields)
        case "array":
            return st.lists(values(schema["items"], definitions), max_size=3)
        case "string":
            return st.text(min_size=schema.get("minLength", 0), max_size=min(schema.get("maxLength", 20), 20))
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case "number":
            lowest = schema.get("minimum", schema.get("exclusiveMinimum"))
            return st.floats(lowest, schema.get("maximum"), exclude_min="exclusiveMinimum" in schema)
        case "boolean":
            return st.booleans()
        case _:
            return st.none()


@given(st.data())
def test_what_a_schema_allows_is_accepted_and_kept(data: st.DataObject) -> None:
    tool = data.draw(st.sampled_from(list(TOOLS)))
    schema = json_schema(tool.input)
    arguments = data.draw(values(schema, schema.get("$defs", {})))
    decoded = TOOLS.decode(tool.name, json.dumps(arguments).encode())
    kept = msgspec.to_builtins(decoded)
    assert _is_within(arguments, kept)
    assert TOOLS.decode(tool.name, msgspec.json.encode(decoded)) == decoded


def _is_within(given: Any, kept: Any) -> bool:
    if isinstance(given, dict):
        fields = cast("dict[str, Any]", given)
        return all(_is_within(value, kept[name]) for name, value in fields.items())
    if isinstance(given, list):
        items = cast("list[Any]", given)
        return len(items) == len(kept) and all(map(_is_within, items, kept))
    return given == kept
