"""A duplex session: microphone and loudspeaker over a WebSocket, with playback acknowledgements.

The user is played by the server's own voice, so that nothing but the server is needed. Replace `user_audio` by a
microphone, `play` by a loudspeaker and `answer` by a language model, and this is a voice agent.

Run `make serve` in one terminal and `.venv/bin/python examples/orchestrator.py` in another.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

URL = os.environ.get("ANTIPHON_URL", "http://127.0.0.1:8080")
RATE_HZ = 24_000
"""Hertz, both ways: 16-bit mono PCM."""
FRAME_MS = 40
FRAME_BYTES = 2 * RATE_HZ * FRAME_MS // 1000


async def main() -> None:
    """One turn of the user, one answer of the agent."""
    async with httpx.AsyncClient(base_url=URL, timeout=120) as server:
        speech = await user_audio(server, "What can you do for me?")
        settings = {"language": "en", "input_rate_hz": RATE_HZ, "output_rate_hz": RATE_HZ}
        session = (await server.post("/v1/sessions", json=settings)).raise_for_status().json()
        session_id = session["session_id"]
        async with connect(f"{URL.replace('http', 'ws', 1)}/v1/sessions/{session_id}/stream") as socket:
            microphone = asyncio.create_task(send_audio(socket, speech))
            await converse(socket)
            microphone.cancel()
        conversation = (await server.get(f"/v1/sessions/{session_id}/conversation")).raise_for_status().json()
        for item in conversation["items"]:
            print(f"{item['role']}: {item['text'] if item['role'] == 'user' else item['heard_text']}")


async def user_audio(server: httpx.AsyncClient, text: str) -> bytes:
    """What the user says, as PCM."""
    request = {"input": text, "response_format": "pcm"}
    return (await server.post("/v1/audio/speech", json=request)).raise_for_status().content


async def send_audio(socket: ClientConnection, speech: bytes) -> None:
    """Send the microphone in real time: the speech, then silence."""
    position_bytes = 0
    while True:
        frame = speech[position_bytes : position_bytes + FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
        position_bytes += FRAME_BYTES
        await socket.send(frame)
        await asyncio.sleep(FRAME_MS / 1000)


async def converse(socket: ClientConnection) -> None:
    """React to the session's events until it is closed."""
    async for message in socket:
        assert isinstance(message, str), "audio is read where its event is"
        event = json.loads(message)
        match event["type"]:
            case "transcript.partial":
                print("  …", event["text"])
            case "turn.ended":
                print("user said:", event["text"])
                await send(socket, {"type": "say", "text": answer(event["text"])})
            case "say.audio" if event["audio"] is None:
                await play(socket, event, await socket.recv(decode=False))
            case "playback.duck" | "playback.pause" | "playback.resume":
                # The user speaks: perhaps an interruption, perhaps a "mhm". A loudspeaker with a buffer plays it more
                # quietly by gain_db, stands still and reports its position, and goes on: with what it has from before
                # position_ms, and then with what comes, which is sent again from there.
                print("  agent:", event["type"])
            case "response.cancelled":
                print("  stop the language model: it lost the floor")
            case "playback.flush":
                # It was one: fall silent, and say how far the loudspeaker had come.
                await send(socket, {"type": "playback", "item_id": event["item_id"], "played_ms": 0, "final": True})
            case "say.ended":
                print(f"agent was heard ({event['status']}):", event["heard_text"])
                await send(socket, {"type": "close"})
            case _:
                pass


async def play(socket: ClientConnection, event: dict[str, Any], pcm: bytes) -> None:
    """A loudspeaker that plays at once: report the position as soon as a piece is out."""
    played_ms = event["offset_ms"] + len(pcm) // 2 * 1000 // RATE_HZ
    await send(socket, {"type": "playback", "item_id": event["item_id"], "played_ms": played_ms})


async def send(socket: ClientConnection, message: dict[str, Any]) -> None:
    """Send a client event."""
    await socket.send(json.dumps(message))


def answer(text: str) -> str:
    """The language model."""
    return f"You asked: {text} I can listen, and I can speak."


if __name__ == "__main__":
    asyncio.run(main())
