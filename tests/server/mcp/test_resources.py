from __future__ import annotations

import base64
import io
import json
import wave
from typing import Any

import anyio
import pytest
from litestar import Litestar
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, BlobResourceContents, TextResourceContents

from engines.tones import decode_words
from schemas.audio import float_from_pcm16

pytestmark = pytest.mark.anyio


async def opened(agent: Client) -> str:
    result = await agent.call_tool("open_session", {"output_rate_hz": 16_000})
    return result.structured_content["session_id"]


async def text(agent: Client, uri: str) -> str:
    (contents,) = (await agent.read_resource(uri, cache_mode="bypass")).contents
    assert isinstance(contents, TextResourceContents)
    assert (contents.uri, contents.mime_type) == (uri, "application/json")
    return contents.text


async def samples(agent: Client, uri: str) -> bytes:
    (contents,) = (await agent.read_resource(uri, cache_mode="bypass")).contents
    assert isinstance(contents, BlobResourceContents)
    assert (contents.uri, contents.mime_type) == (uri, "audio/wav")
    with wave.open(io.BytesIO(base64.b64decode(contents.blob))) as file:
        assert (file.getframerate(), file.getnchannels()) == (16_000, 1)
        return file.readframes(file.getnframes())


async def refused(agent: Client, uri: str) -> MCPError:
    with pytest.raises(MCPError) as caught:
        await agent.read_resource(uri)
    assert caught.value.code == INVALID_PARAMS
    assert caught.value.data["uri"] == uri  # pyright: ignore[reportOptionalSubscript]
    return caught.value


async def test_what_is_always_there_is_listed_and_the_rest_are_templates(agent: Client) -> None:
    assert [resource.uri for resource in (await agent.list_resources()).resources] == ["antiphon://voices"]
    templates = [each.uri_template for each in (await agent.list_resource_templates()).resource_templates]
    assert "antiphon://sessions/{session_id}/conversation" in templates
    assert "antiphon://sessions/{session_id}/audio/{item_id}{?start_ms,end_ms}" in templates


async def test_the_voices_are_those_of_the_tool(agent: Client) -> None:
    result = await agent.call_tool("list_voices", {})
    assert json.loads(await text(agent, "antiphon://voices")) == result.structured_content


async def test_the_conversation_is_that_of_the_tool_also_when_it_is_over(agent: Client) -> None:
    session_id = await opened(agent)
    with anyio.fail_after(20):
        await agent.call_tool("say", {"session_id": session_id, "text": "Hi."})
    uri = f"antiphon://sessions/{session_id}/conversation"
    (item,) = json.loads(await text(agent, uri))["items"]
    assert (item["role"], item["heard_text"]) == ("agent", "Hi.")
    await agent.call_tool("close_session", {"session_id": session_id})
    assert json.loads(await text(agent, uri))["items"] == [item]


async def test_what_the_agent_said_can_be_heard_whole_and_in_parts(agent: Client) -> None:
    session_id = await opened(agent)
    with anyio.fail_after(20):
        await agent.call_tool("say", {"session_id": session_id, "text": "Good day."})
    uri = f"antiphon://sessions/{session_id}/audio/item_1"
    whole = await samples(agent, uri)
    assert [word.text for word in decode_words(float_from_pcm16(whole))] == ["Good", "day."]
    assert await samples(agent, f"{uri}?start_ms=100&end_ms=250") == whole[3_200:8_000]
    assert await samples(agent, f"{uri}?start_ms=100") == whole[3_200:]


async def test_what_is_not_there_is_an_error_that_names_it(agent: Client) -> None:
    session_id = await opened(agent)
    assert "no such resource" in (await refused(agent, "antiphon://nonesuch")).message
    assert "no item" in (await refused(agent, f"antiphon://sessions/{session_id}/audio/item_9")).message
    assert "no session" in (await refused(agent, "antiphon://sessions/ses_x/conversation")).message
    assert "no more" in (await refused(agent, "antiphon://audio/aud_x")).message
    await agent.call_tool("close_session", {"session_id": session_id})
    await refused(agent, f"antiphon://sessions/{session_id}/audio/item_1")


@pytest.mark.parametrize("query", ["start_ms=x", "start_ms=-1", "end_ms=", "end_ms=1.5", "end_ms=99999999999999999999"])
async def test_a_range_must_be_whole_milliseconds(agent: Client, query: str) -> None:
    session_id = await opened(agent)
    await agent.call_tool("say", {"session_id": session_id, "text": "Hi.", "wait": False})
    error = await refused(agent, f"antiphon://sessions/{session_id}/audio/item_1?{query}")
    assert "whole number of milliseconds" in error.message


async def test_a_part_that_nothing_was_said_in_is_an_error(agent: Client) -> None:
    session_id = await opened(agent)
    with anyio.fail_after(20):
        await agent.call_tool("say", {"session_id": session_id, "text": "Hi."})
    error = await refused(agent, f"antiphon://sessions/{session_id}/audio/item_1?start_ms=600000")
    assert "Nothing of that item" in error.message


async def test_the_latency_is_that_of_each_turn(agent: Client, app: Litestar, user: Any) -> None:
    session_id = await opened(agent)
    session = await app.state.sessions.find(session_id)
    await session.feed(user.turn("What time is it?"))
    with anyio.fail_after(20):
        await agent.call_tool("listen", {"session_id": session_id})
        await agent.call_tool("say", {"session_id": session_id, "text": "Ten."})
    ledger = json.loads(await text(agent, f"antiphon://sessions/{session_id}/latency"))
    assert ledger["session_id"] == session_id
    assert [entry["turn"] for entry in ledger["turns"]] == [1]
    assert ledger["turns"][0]["latency"]
