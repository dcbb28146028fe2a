from __future__ import annotations

import anyio
import pytest
from anyio import to_thread
from litestar import Litestar
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

from engines.fake import FakeBehaviour
from schemas.errors import ErrorCode, SpeechError
from server.mcp.bridge import bridge
from server.mcp.stdio import bridge_stdio

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["auto", "legacy"])
async def across(agent: Client, request: pytest.FixtureRequest):  # pyright: ignore[reportUnknownParameterType]  # noqa: ANN201
    """A client of the bridge: each revision on either side."""
    async with Client(bridge(agent), mode=request.param) as client:
        yield client


async def test_the_other_side_is_seen_as_it_is(agent: Client, across: Client) -> None:
    assert across.instructions == agent.instructions
    assert across.server_info is not None
    assert across.server_info.name == "antiphon"
    assert (await across.list_tools()).tools == (await agent.list_tools()).tools
    assert (await across.list_resources()).resources == (await agent.list_resources()).resources
    templates = (await agent.list_resource_templates()).resource_templates
    assert (await across.list_resource_templates()).resource_templates == templates
    assert (await across.list_prompts()).prompts == (await agent.list_prompts()).prompts


async def test_calls_reads_and_prompts_pass_through(across: Client) -> None:
    result = await across.call_tool("synthesize", {"text": "Hello."})
    uri = f"antiphon://audio/{result.structured_content['audio_id']}"
    assert (await across.read_resource(uri)).contents[0].mime_type == "audio/wav"
    assert (await across.get_prompt("read_aloud", {"text": "Hello."})).messages


async def test_failures_pass_through_as_what_they_are(across: Client) -> None:
    assert (await across.call_tool("listen", {"session_id": "x"})).is_error
    with pytest.raises(MCPError, match="no such resource"):
        await across.read_resource("antiphon://nonesuch")


async def test_cancelling_passes_through(across: Client, app: Litestar, behaviour: FakeBehaviour) -> None:
    assert app.state.stdio
    behaviour.hang()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(across.call_tool, "synthesize", {"text": "Nobody wants to hear this."})
            await to_thread.run_sync(behaviour.called.wait)
            tasks.cancel_scope.cancel()
        await to_thread.run_sync(behaviour.cancelled.wait)


async def test_a_server_that_is_not_there_is_told_in_one_line() -> None:
    with anyio.fail_after(20), pytest.raises(SpeechError, match="antiphon serve") as caught:
        await bridge_stdio("http://127.0.0.1:1", {})
    assert caught.value.code is ErrorCode.NOT_FOUND
