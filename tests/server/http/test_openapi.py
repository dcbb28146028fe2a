from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

import httpx
import pytest
from jsonschema import Draft202012Validator

from schemas.events import ClientEvent, ServerEvent
from tools.registry import TOOLS
from tools.schema import json_schema

pytestmark = pytest.mark.anyio

JSON = "application/json"
EVENTS = "text/event-stream"
AUDIO_ALONE = {"createSpeech"}


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    return (await client.get("/openapi.json")).json()


def operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def contents(operation: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Media types of an operation, requests and responses alike, with where they are."""
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"{operation['operationId']} request {media_type}", content
    for status, response in operation["responses"].items():
        for media_type, content in response.get("content", {}).items():
            yield f"{operation['operationId']} {status} {media_type}", content


def validator(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    return Draft202012Validator({**schema, "components": document["components"]})


async def test_every_schema_is_one(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for operation in operations(document):
        for _, content in contents(operation):
            Draft202012Validator.check_schema(content["schema"])


async def test_every_json_body_and_result_has_an_example(document: dict[str, Any]) -> None:
    without = [
        where
        for operation in operations(document)
        for where, content in contents(operation)
        if where.endswith(JSON) and "example" not in content
    ]
    allowed = {"readiness 503", "streamEvents 410", "sendAudio request"}
    assert {where.removesuffix(f" {JSON}") for where in without} <= allowed


async def test_every_example_is_what_its_schema_says(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for where, content in contents(operation):
            if "example" in content:
                errors = list(validator(document, content["schema"]).iter_errors(content["example"]))
                assert not errors, where


async def test_every_error_has_the_shape_of_errors(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for status, response in operation["responses"].items():
            if status.startswith(("4", "5")) and f"{operation['operationId']} {status}" != "readiness 503":
                schema = response["content"][JSON]["schema"]["$ref"].rpartition("/")[2]
                has_snapshot = f"{operation['operationId']} {status}" == "streamEvents 410"
                assert schema == ("ExpiredBody" if has_snapshot else "ErrorBody"), operation["operationId"]
                assert response["description"].startswith("Codes: ")


async def test_streams_name_their_events_and_describe_their_data(document: dict[str, Any]) -> None:
    streams = {
        operation["operationId"]: content["x-events"]
        for operation in operations(document)
        for where, content in contents(operation)
        if where.endswith(EVENTS)
    }
    assert set(streams) == {"createTranscription", "createSpeech", "streamEvents", *(tool.name for tool in TOOLS)}
    assert set(streams["say"]) == {"progress", "segment", "audio", "result", "error"}
    assert {str(kind.__struct_config__.tag) for kind in get_args(ServerEvent)} == set(streams["streamEvents"])
    for events in streams.values():
        for reference in events.values():
            assert reference["$ref"].rpartition("/")[2] in document["components"]["schemas"]


async def test_the_websocket_is_described_with_the_messages_it_takes(document: dict[str, Any]) -> None:
    text = document["info"]["description"]
    assert "WS /v1/sessions/{session_id}/stream" in text
    for kind in get_args(ClientEvent):
        assert kind.__name__ in text
        assert kind.__name__ in document["components"]["schemas"]


async def test_structs_are_described_as_the_tools_describe_them(document: dict[str, Any]) -> None:
    for tool in TOOLS:
        for kind in (tool.input, tool.output):
            described = document["components"]["schemas"][kind.__name__]
            expected = json_schema(kind)
            assert described["description"] == expected["description"]
            for name, field in expected["properties"].items():
                assert described["properties"][name].get("description") == field.get("description")
    settings = document["components"]["schemas"]["SessionSettings"]["properties"]
    assert settings["prompt"]["description"].startswith("Text that primes recognition")


async def test_the_body_of_audio_is_described_in_each_of_its_forms(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/sessions/{session_id}/audio"]["post"]["requestBody"]["content"]
    assert set(body) == {"audio/pcm", "audio/*", JSON}
