"""A conversation with the real server and real models, decided again from its log by another process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect

pytestmark = [pytest.mark.flow, pytest.mark.real, pytest.mark.anyio]

RATE_HZ = 24_000
FRAME_BYTES = 2 * RATE_HZ // 50
QUESTION = "Please tell me everything about the opening hours of your museum."
ANSWER = "The museum is open from nine in the morning until six in the evening, on every day of the week but Monday."
INTERRUPTION = "Stop, stop. I wanted to hear about the tickets instead."


async def tool(client: httpx.AsyncClient, name: str, **arguments: Any) -> dict[str, Any]:
    response = await client.post(f"/v1/tools/{name}", json=arguments)
    assert response.status_code == 200, response.text
    return response.json()


async def speech(client: httpx.AsyncClient, text: str) -> bytes:
    request = {"input": text, "response_format": "pcm"}
    response = await client.post("/v1/audio/speech", json=request)
    assert response.status_code == 200, response.text
    return response.content


async def send(socket: ClientConnection, pcm: bytes) -> None:
    """As fast as it is spoken."""
    for start in range(0, len(pcm), FRAME_BYTES):
        await socket.send(pcm[start : start + FRAME_BYTES])
        await anyio.sleep(0.02)


async def play(socket: ClientConnection, audible: anyio.Event) -> None:
    """A loudspeaker that plays what comes, and says so."""
    played: dict[str, int] = {}

    async def acknowledge(item_id: str, *, final: bool) -> None:
        position = {"type": "playback", "item_id": item_id, "played_ms": played[item_id], "final": final}
        await socket.send(msgspec.json.encode(position).decode())

    async for message in socket:
        if isinstance(message, bytes):
            continue
        event = msgspec.json.decode(message)
        if event["type"] == "say.audio":
            played[event["item_id"]] = (event["offset_ms"] + event["duration_ms"]) // 2
            await acknowledge(event["item_id"], final=False)
            audible.set()
        elif event["type"] == "playback.flush":
            await acknowledge(event["item_id"], final=True)


def replayed(*arguments: str) -> dict[str, Any]:
    # Another seed of hashes: what a set or a hash decides would be decided otherwise.
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    command = [sys.executable, "-m", "server", "replay", *arguments, "--json"]
    process = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    return msgspec.json.decode(process.stdout)


def read(folder: Path) -> tuple[str, bytes]:
    (path,) = folder.iterdir()
    return str(path), path.read_bytes()


@pytest.mark.parametrize("texts", ["true", "false"])
async def test_the_log_of_a_conversation_with_an_interruption_replays_byte_for_byte(
    serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: str
) -> None:
    folder = tmp_path / "decisions"
    conversation: dict[str, Any] = {"items": []}
    monkeypatch.setenv("ANTIPHON_DECISION_LOG_DIR", str(folder))
    monkeypatch.setenv("ANTIPHON_DECISION_LOG_TEXTS", texts)
    with serve(tmp_path) as server, anyio.fail_after(120):
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            session = await tool(client, "open_session", input_rate_hz=RATE_HZ, language="en")
            session_id = session["session_id"]
            question, interruption = await speech(client, QUESTION), await speech(client, INTERRUPTION)
            socket_url = server.url.replace("http", "ws") + session["stream_path"]
            async with connect(socket_url) as socket, anyio.create_task_group() as tasks:
                audible = anyio.Event()
                tasks.start_soon(play, socket, audible)
                await send(socket, question + bytes(2 * RATE_HZ))
                await tool(client, "listen", session_id=session_id, timeout_s=30)
                await tool(client, "say", session_id=session_id, text=ANSWER, wait=False)
                await audible.wait()
                await send(socket, interruption + bytes(4 * RATE_HZ))
                await tool(client, "listen", session_id=session_id, timeout_s=30)
                conversation = await tool(client, "get_conversation", session_id=session_id)
                await tool(client, "close_session", session_id=session_id)
    user, agent, *_ = conversation["items"]
    assert agent["status"] == "interrupted"
    latency = user["latency"]
    parts = [latency[part] for part in ("decision_ms", "final_ms", "queued_ms", "acked_ms")]
    assert sum(parts) == latency["total_ms"]
    assert latency["decision_ms"] >= 200

    path, content = read(folder)
    assert (b"museum" in content) is (texts == "true")
    for action in (b'"CommitTurn"', b'"StartItem"', b'"FlushPlayback"', b'"TruncateItem"'):
        assert action in content
    report = replayed(path)
    assert report["events"] > 100
    assert report["differing"] == 0
    out = str(tmp_path / "redacted.jsonl")
    replayed(path, "--redact", out)
    assert replayed(out)["events"] == report["events"]
    hasty = replayed(path, "--set", "silence_duration_ms=200")
    waits = [end["counterfactual_ms"] for end in hasty["ends"] if end["logged_ms"] is not None]
    assert waits
    assert all(wait_ms is not None and wait_ms <= 224 for wait_ms in waits)
