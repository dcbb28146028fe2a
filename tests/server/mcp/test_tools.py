from __future__ import annotations

import base64
import json
from typing import Any

import anyio
import pytest
from anyio import to_thread
from litestar import Litestar
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, AudioContent, ResourceLink, TextContent

from engines.fake import FakeBehaviour
from server.mcp.tools import ERROR_KEY
from tools.export import ToolFormat, exported
from tools.registry import TOOLS

pytestmark = pytest.mark.anyio


def text_of(result: Any) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


async def test_the_tools_are_those_of_the_export(agent: Client) -> None:
    listed = await agent.list_tools()
    tools = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in listed.tools]
    assert {"tools": tools} == json.loads(exported(TOOLS, ToolFormat.MCP))


async def test_the_server_says_who_it_is_and_how_to_use_it(agent: Client) -> None:
    assert agent.server_info is not None
    assert agent.server_info.name == "antiphon"
    assert agent.instructions is not None
    assert "heard_text" in agent.instructions
    assert agent.server_capabilities.tools is not None
    assert agent.server_capabilities.resources is not None
    assert agent.server_capabilities.prompts is not None


async def test_a_result_is_data_and_the_same_as_text(agent: Client) -> None:
    result = await agent.call_tool("list_voices", {"language": "en-GB"})
    assert not result.is_error
    assert [voice["id"] for voice in result.structured_content["voices"]] == ["fake-bass"]
    assert json.loads(text_of(result)) == result.structured_content


async def test_who_asks_without_an_http_request_is_nobody_unless_told_otherwise(app: Litestar) -> None:
    async with Client(app.state.mcp) as nobody:
        result = await nobody.call_tool("list_voices", {})
        assert result.meta is not None
        assert result.meta[ERROR_KEY]["code"] == "unauthenticated"
        with pytest.raises(MCPError, match="say who asks"):
            await nobody.read_resource("antiphon://voices")


async def test_what_a_tool_refuses_is_a_result_that_is_an_error(agent: Client) -> None:
    result = await agent.call_tool("listen", {"session_id": "ses_nonesuch"})
    assert result.is_error
    assert "Open one with open_session" in text_of(result)
    assert result.meta is not None
    assert result.meta[ERROR_KEY]["code"] == "unknown_session"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [({}, "text"), ({"text": "Hi.", "speed": 99}, "speed"), ({"text": "Hi.", "loud": True}, "loud")],
)
async def test_wrong_arguments_are_a_result_that_names_the_field(
    agent: Client, arguments: dict[str, Any], says: str
) -> None:
    result = await agent.call_tool("synthesize", arguments)
    assert result.is_error
    assert says in text_of(result)


async def test_an_unknown_tool_is_an_error_of_the_protocol(agent: Client) -> None:
    with pytest.raises(MCPError, match="There are: transcribe") as caught:
        await agent.call_tool("shout", {})
    assert caught.value.code == INVALID_PARAMS


async def test_what_breaks_inside_is_told_without_details(agent: Client, behaviour: FakeBehaviour) -> None:
    behaviour.failure = RuntimeError("secret of the engine")
    result = await agent.call_tool("synthesize", {"text": "Hello."})
    assert result.is_error
    assert "secret" not in str(result)


async def test_audio_is_a_link_to_a_resource(agent: Client) -> None:
    result = await agent.call_tool("synthesize", {"text": "Hello there."})
    assert result.structured_content["audio"] is None
    link = result.content[1]
    assert isinstance(link, ResourceLink)
    assert link.uri == f"antiphon://audio/{result.structured_content['audio_id']}"
    assert link.mime_type == "audio/wav"
    (contents,) = (await agent.read_resource(link.uri)).contents
    assert contents.mime_type == "audio/wav"
    assert base64.b64decode(contents.blob)[:4] == b"RIFF"  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType]


async def test_audio_is_inline_only_if_asked_for(agent: Client) -> None:
    result = await agent.call_tool("synthesize", {"text": "Hello there.", "format": "mp3", "audio_as": "base64"})
    assert result.structured_content["audio"] is None
    audio = result.content[1]
    assert isinstance(audio, AudioContent)
    assert audio.mime_type == "audio/mpeg"
    assert len(base64.b64decode(audio.data)) > 1_000
    assert len(text_of(result)) < 1_000


async def test_a_transcript_reports_progress(agent: Client, spoken_wav: bytes) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    arguments = {"audio": base64.b64encode(spoken_wav).decode()}
    result = await agent.call_tool("transcribe", arguments, progress_callback=on_progress)
    assert result.structured_content["text"] == "hello there. bye."
    assert [message for _, _, message in told] == ["hello there.", "bye."]
    assert told[0][0] < told[1][0] <= (told[1][1] or 0)


async def test_a_call_that_is_cancelled_stops_the_engine(agent: Client, behaviour: FakeBehaviour) -> None:
    behaviour.hang()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.call_tool, "synthesize", {"text": "Nobody wants to hear this."})
            await to_thread.run_sync(behaviour.called.wait)
            tasks.cancel_scope.cancel()
        await to_thread.run_sync(behaviour.cancelled.wait)


async def test_a_session_is_opened_spoken_in_and_closed(agent: Client, app: Litestar) -> None:
    opened = await agent.call_tool("open_session", {"language": "en"})
    session_id = opened.structured_content["session_id"]
    link = opened.content[1]
    assert isinstance(link, ResourceLink)
    assert link.uri == f"antiphon://sessions/{session_id}/conversation"
    with anyio.fail_after(20):
        said = await agent.call_tool("say", {"session_id": session_id, "text": "Hi."})
    assert said.structured_content["heard_text"] == "Hi."
    audio = said.content[1]
    assert isinstance(audio, ResourceLink)
    assert audio.uri == f"antiphon://sessions/{session_id}/audio/item_1"
    closed = await agent.call_tool("close_session", {"session_id": session_id})
    assert closed.structured_content["session_id"] == session_id
    assert app.state.sessions.live_count == 0
