"""A conversation's microphone: audio into a session over its WebSocket, and when the turn's text came back."""

from __future__ import annotations

import time
from typing import Any, Final, cast

import anyio
import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.clips import Clip, hush_after
from benchmarks.http_client import Connection, json_of
from benchmarks.processes import LOOPBACK
from schemas.audio import SESSION_RATE_HZ

FRAME_MS: Final = 20
"""What telephony and WebRTC send."""
FRAME_BYTES: Final = SESSION_RATE_HZ * FRAME_MS // 1000 * 2
_AFTER_S: Final = 4.0
"""Silence after the clip, at most; the turn ends long before."""
_BURST_BYTES: Final = 32_000
_TOLERANCE_MS: Final = 300
"""A turn that ended this much before the speech did is an earlier one."""
_TIMEOUT_S: Final = 60.0


class Turn(Struct, frozen=True):
    """One clip as a user's turn."""

    took_s: float
    """Paced: from the end of speech to the final transcript. All at once: from the first byte sent."""
    text: str
    late_s: float = 0.0
    """The most that a frame was sent late: what the load generator itself added."""
    decided_s: float = 0.0
    """Paced: from the end of speech until the server said that the turn is over."""


async def open_session(port: int, settings: dict[str, Any]) -> str:
    """``POST /v1/sessions``; the id."""
    connection = Connection(port)
    reply = await connection.post_json("/v1/sessions", settings)
    if reply.status not in {200, 201}:
        reply.checked()
    return str(msgspec.json.decode(reply.body)["session_id"])


async def received_ms(connection: Connection, session_id: str) -> int:
    """How much of a session's audio the server has worked through."""
    return int(json_of(await connection.get(f"/v1/sessions/{session_id}"))["received_ms"])


async def paced_turn(port: int, clip: Clip, *, silence_ms: int) -> Turn:
    """Speak a clip in real time, in frames of 20 ms, and then be silent until the server has understood.

    Args:
        port: Of the server.
        clip: What is said; its end of speech is when the waiting begins.
        silence_ms: The silence that ends a turn.
    """
    end_s = clip.speech_end_samples / SESSION_RATE_HZ
    async with _stream(port, clip, silence_ms) as socket:
        pcm = clip.pcm16 + hush_after(clip, _AFTER_S)
        began = time.perf_counter()
        late_s = 0.0
        answer = ""
        decided_at = answered_at = 0.0

        async def hear() -> None:
            nonlocal answer, decided_at, answered_at
            answer, decided_at = await _final_text(socket, end_s)
            answered_at = time.perf_counter()
            tasks.cancel_scope.cancel()

        with anyio.fail_after(clip.duration_s + _TIMEOUT_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hear)
                for number in range(len(pcm) // FRAME_BYTES):
                    due = began + (number + 1) * FRAME_MS / 1000  # a frame is there when its last sample is
                    await anyio.sleep(max(0.0, due - time.perf_counter()))
                    late_s = max(late_s, time.perf_counter() - due)
                    await socket.send(pcm[number * FRAME_BYTES : (number + 1) * FRAME_BYTES])
        await _close(socket)
    return Turn(answered_at - began - end_s, answer, late_s, decided_at - began - end_s)


async def burst_turn(port: int, clip: Clip, *, silence_ms: int, partials: bool = True) -> Turn:
    """Send a clip and a second of silence at once, as from a file, and wait for its text."""
    end_s = clip.speech_end_samples / SESSION_RATE_HZ
    pcm = clip.pcm16 + hush_after(clip, 1.0 + silence_ms / 1000)
    with anyio.fail_after(_TIMEOUT_S):
        began = time.perf_counter()
        async with _stream(port, clip, silence_ms, partials=partials) as socket:
            for start in range(0, len(pcm), _BURST_BYTES):
                await socket.send(pcm[start : start + _BURST_BYTES])
            text, _ = await _final_text(socket, end_s)
            took_s = time.perf_counter() - began
            await _close(socket)
    return Turn(took_s, text)


class _stream:  # noqa: N801  reads like the function it stands for
    """A session and its WebSocket, for the length of a block."""

    def __init__(self, port: int, clip: Clip, silence_ms: int, *, partials: bool = True) -> None:
        self._port = port
        turn = {"offset_ms": min(200, silence_ms), "silence_duration_ms": silence_ms, "reopen_ms": 0}
        self._settings = {"language": clip.language, "partials": partials, "turn": turn}
        self._connecting: Any = None

    async def __aenter__(self) -> ClientConnection:
        session_id = await open_session(self._port, self._settings)
        url = f"ws://{LOOPBACK}:{self._port}/v1/sessions/{session_id}/stream"
        self._connecting = connect(url, max_size=None, compression=None, proxy=None)
        return cast("ClientConnection", await self._connecting.__aenter__())

    async def __aexit__(self, *error: object) -> None:
        await self._connecting.__aexit__(*error)


async def _final_text(socket: ClientConnection, end_s: float) -> tuple[str, float]:
    """The texts of all turns up to the one that ends with the speech, and when that was decided."""
    texts: list[str] = []
    decided_at = 0.0
    async for message in socket:
        if isinstance(message, bytes):
            continue
        event = cast("dict[str, Any]", msgspec.json.decode(message))
        if event["type"] == "error":
            raise RuntimeError(str(event["error"]))
        if event["type"] == "speech.stopped":
            decided_at = time.perf_counter()
        if event["type"] == "turn.ended":
            texts.append(str(event["text"]))
            if event["ended_ms"] >= end_s * 1000 - _TOLERANCE_MS:
                return " ".join(texts), decided_at
    raise RuntimeError("the session ended before the turn did")


async def _close(socket: ClientConnection) -> None:
    await socket.send('{"type": "close"}')
