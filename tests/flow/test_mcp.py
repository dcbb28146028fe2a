"""An agent speaks the Model Context Protocol; the user's client and an observer speak HTTP, of the same session."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import httpx
import msgspec
import pytest
from faster_whisper import audio
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import TextResourceContents
from websockets.asyncio.client import connect

from schemas.audio import SESSION_RATE_HZ, pcm16_from_float
from schemas.events import ServerEvent
from schemas.sessions import Conversation
from session.history import History

pytestmark = [pytest.mark.flow, pytest.mark.real, pytest.mark.anyio]

DEADLINE_S = 180
FRAME_BYTES = 2 * SESSION_RATE_HZ // 50
ANSWER = "Printing changed everything."


async def call(agent: Client, name: str, /, **arguments: Any) -> Any:
    result = await agent.call_tool(name, arguments)
    assert not result.is_error, result.content
    return result.structured_content


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


async def listen_in(socket: Any) -> None:
    """The user's loudspeaker: plays all at once, and says so."""
    async for message in socket:
        if isinstance(message, bytes):
            continue
        event = json.loads(message)
        if event["type"] == "say.audio":
            played_ms = event["offset_ms"] + event["duration_ms"]
            position = {"type": "playback", "item_id": event["item_id"], "played_ms": played_ms}
            await socket.send(json.dumps(position))


async def observed(client: httpx.AsyncClient, path: str) -> AsyncIterator[ServerEvent]:
    async with client.stream("GET", path, params={"audio": "none"}) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                yield msgspec.json.decode(line.removeprefix("data: "), type=ServerEvent)


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_one_session_has_the_same_history_over_mcp_websocket_and_events(
    server: Any, root: Path, mode: str
) -> None:
    samples = cast("Any", audio).decode_audio(str(root / "examples" / "invention-of-printing.flac"))
    pcm = pcm16_from_float(samples) + bytes(2 * SESSION_RATE_HZ * 2)
    with anyio.fail_after(DEADLINE_S):
        async with (
            Client(f"{server.url}/mcp", mode=mode) as agent,
            httpx.AsyncClient(base_url=server.url, timeout=60) as observer,
        ):
            opened = await call(agent, "open_session", language="en")
            session_id = opened["session_id"]
            url = server.url.replace("http", "ws") + opened["stream_path"]
            heard: Any = None
            said: Any = None
            async with connect(url) as socket, anyio.create_task_group() as tasks:
                tasks.start_soon(listen_in, socket)
                for start in range(0, len(pcm), FRAME_BYTES):
                    await socket.send(pcm[start : start + FRAME_BYTES])
                heard = await call(agent, "listen", session_id=session_id, timeout_s=60)
                said = await call(agent, "say", session_id=session_id, text=ANSWER)
                tasks.cancel_scope.cancel()
            assert "printing" in words(heard["turn"]["text"])
            assert (said["status"], said["heard_text"]) == ("completed", ANSWER)
            await call(agent, "close_session", session_id=session_id)

            over_mcp = await call(agent, "get_conversation", session_id=session_id)
            (resource,) = (await agent.read_resource(f"antiphon://sessions/{session_id}/conversation")).contents
            assert isinstance(resource, TextResourceContents)
            assert json.loads(resource.text) == over_mcp
            response = await observer.get(f"/v1/sessions/{session_id}/conversation")
            assert response.json() == over_mcp
            history = History([event async for event in observed(observer, opened["events_path"])])
    assert history.items == msgspec.convert(over_mcp, Conversation).items
    assert [item["role"] for item in over_mcp["items"]] == ["user", "agent"]


@asynccontextmanager
async def started(*arguments: str, tmp_path: Path) -> AsyncGenerator[Any]:
    """A client's own server on standard input and output; what it logs goes into a file."""
    parameters = StdioServerParameters(
        command=sys.executable, args=["-m", "server", "mcp", *arguments], env=dict(os.environ)
    )
    with (tmp_path / "log").open("w") as log:
        async with stdio_client(parameters, errlog=log) as streams:
            yield streams


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_starts_a_server_of_its_own_which_the_users_client_can_reach(tmp_path: Path, mode: str) -> None:
    with anyio.fail_after(DEADLINE_S):
        async with Client(started(tmp_path=tmp_path), mode=mode) as agent:
            url = re.search(r"http://127\.0\.0\.1:\d+", agent.instructions or "")
            assert url is not None
            opened = await call(agent, "open_session")
            async with httpx.AsyncClient(base_url=url[0], timeout=60) as user:
                info = (await user.get(f"/v1/sessions/{opened['session_id']}")).json()
            assert info["state"] == "open"
            spoken = await agent.call_tool("synthesize", {"text": "Hello there."})
            assert spoken.structured_content["duration_s"] > 0.3


async def test_a_client_starts_a_bridge_to_a_server_that_runs(server: Any, tmp_path: Path) -> None:
    with anyio.fail_after(DEADLINE_S):
        async with Client(started("--url", server.url, tmp_path=tmp_path)) as agent:
            opened = await call(agent, "open_session")
            async with httpx.AsyncClient(base_url=server.url, timeout=60) as user:
                info = (await user.get(f"/v1/sessions/{opened['session_id']}")).json()
            assert info["state"] == "open"
            await call(agent, "close_session", session_id=opened["session_id"])


def test_a_bridge_to_nowhere_ends_with_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "server", "mcp", "--url", "http://127.0.0.1:1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "antiphon serve" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
