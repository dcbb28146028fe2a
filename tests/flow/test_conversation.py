"""The main job over the wire, with real models and the voice of the server as its own user."""

from __future__ import annotations

import re
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect

pytestmark = [pytest.mark.flow, pytest.mark.real, pytest.mark.anyio]

RATE_HZ = 24_000
FRAME_BYTES = 2 * RATE_HZ // 50
SENTENCE = "The quick brown fox jumps over the lazy dog."


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


async def receive_speech(socket: ClientConnection) -> bytes:
    """All audio of the next item, as a client that does not acknowledge hears it."""
    pcm = bytearray()
    async for message in socket:
        if isinstance(message, bytes):
            pcm += message
        elif msgspec.json.decode(message)["type"] == "say.ended":
            break
    return bytes(pcm)


async def tool(client: httpx.AsyncClient, name: str, **arguments: Any) -> dict[str, Any]:
    response = await client.post(f"/v1/tools/{name}", json=arguments)
    assert response.status_code == 200, response.text
    return response.json()


async def test_what_say_speaks_listen_hears(server: Any) -> None:
    """One session speaks a sentence into another."""
    socket_url = server.url.replace("http", "ws")
    with anyio.fail_after(120):
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            speaker = await tool(client, "open_session", output_rate_hz=RATE_HZ)
            listener = await tool(client, "open_session", input_rate_hz=RATE_HZ, language="en")
            said: list[dict[str, Any]] = []
            pcm = b""

            async def say() -> None:
                said.append(await tool(client, "say", session_id=speaker["session_id"], text=SENTENCE))

            async with connect(socket_url + speaker["stream_path"]) as mouth, anyio.create_task_group() as tasks:
                tasks.start_soon(say)
                pcm = await receive_speech(mouth)
            assert said[0]["status"] == "completed"
            assert said[0]["heard_text"] == SENTENCE
            async with connect(socket_url + listener["stream_path"]) as ear:
                audio = pcm + bytes(2 * RATE_HZ)
                for start in range(0, len(audio), FRAME_BYTES):
                    await ear.send(audio[start : start + FRAME_BYTES])
                heard = await tool(client, "listen", session_id=listener["session_id"], timeout_s=60)
            assert heard["status"] == "turn"
            assert words(heard["turn"]["text"]) == words(SENTENCE)
            times = [word["start_s"] for word in heard["turn"]["words"]]
            assert len(times) == len(words(SENTENCE))
            assert times == sorted(times)
            spoken = await tool(client, "get_conversation", session_id=speaker["session_id"])
            assert [item["heard_text"] for item in spoken["items"]] == [SENTENCE]
            for session in (speaker, listener):
                await tool(client, "close_session", session_id=session["session_id"])


async def test_no_transcript_reaches_the_log(server: Any) -> None:
    """The canary goes through synthesis, recognition and a session; the log knows nothing of it."""
    canary = "My grandmother keeps a yellow umbrella in the kitchen."
    with anyio.fail_after(120):
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            audio = (await tool(client, "synthesize", text=canary))["audio"]
            heard = await tool(client, "transcribe", audio=audio, language="en")
            assert "umbrella" in heard["text"].lower()
            session = await tool(client, "open_session")
            await tool(client, "say", session_id=session["session_id"], text=canary)
            await tool(client, "close_session", session_id=session["session_id"])
    log = "".join(server.log).lower()
    assert session["session_id"].lower() in log
    assert "umbrella" not in log
    assert audio[:64].lower() not in log
