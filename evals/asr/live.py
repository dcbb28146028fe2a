"""A recording as a user's turn: into a session of a running Antiphon, in real time, over its public interface."""

from __future__ import annotations

from typing import Any, Final, cast

import anyio
import httpx
import msgspec
import numpy as np
from msgspec import Struct
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from evals.asr.loudness import speech_edges_s
from evals.corpora.utterance import Utterance
from evals.targets.http_errors import checked, told
from evals.targets.session_socket import session_socket
from schemas.audio import SESSION_RATE_HZ, Samples, pcm16_from_float
from schemas.errors import ErrorCode, SpeechError

_FRAME_SAMPLES: Final = SESSION_RATE_HZ * 20 // 1000
"""What telephony and browsers send at a time."""
_AFTER_S: Final = 6.0
"""Of silence, at most: turns end long before."""
_TOLERANCE_MS: Final = 300.0
"""A turn that ended this much before the speech did is an earlier one."""
_SETTLED_S: Final = 1.0
"""After the turn's end, for what may still be corrected."""
_QUIETEST_SAMPLES: Final = SESSION_RATE_HZ // 10


class Streamed(Struct, frozen=True, kw_only=True):
    """What a session made of a recording."""

    text: str
    """Of all its turns."""
    partials: tuple[tuple[int, str], ...] = ()
    """The turn, and what it was so far."""
    broken_promises: int = 0
    """Partials that do not begin with what an earlier one of their turn called stable."""
    first_partial_ms: float | None = None
    """From the first sound until its first words could be read; ``None`` if none were."""
    endpoint_ms: float | None = None
    """From the last sound to ``turn.ended``; ``None`` if it never came."""
    turns: int = 0
    lost_events: int = 0
    """Events that a client who resumes would not get as they were."""
    late_ms: float = 0.0
    """The most that a frame was sent late: what the harness itself adds."""


class _Event(Struct, frozen=True):
    type: str
    seq: int = 0
    turn: int = 0
    text: str = ""
    stable_text: str = ""
    ended_ms: int = 0


_EVENT: Final = msgspec.json.Decoder(_Event)


async def stream(http: httpx.AsyncClient, utterance: Utterance) -> Streamed:
    """Say a recording to a session.

    Args:
        http: Has the server's address as its base, and a key where the server wants one.
        utterance: What is said.

    Raises:
        SpeechError: What the server answers instead of a session; ``internal`` if the connection broke.
    """
    language = None if utterance.language == "und" else utterance.language
    async with told("Antiphon"):
        response = await http.post("/v1/sessions", json={"language": language, "input_rate_hz": SESSION_RATE_HZ})
    session_id = str((await checked(response, "Antiphon")).json()["session_id"])
    async with session_socket(http, session_id) as socket:
        call = _Call(socket, utterance.samples())
        await call.run()
    return call.result(await _lost(http, session_id, call.messages))


class _Call:
    def __init__(self, socket: ClientConnection, samples: Samples) -> None:
        self._socket = socket
        self._samples = samples
        self._start_s, self._end_s = speech_edges_s(samples)
        self._began_s = 0.0
        self._texts: dict[int, str] = {}
        self._partials: list[tuple[int, str]] = []
        self._stable: dict[int, str] = {}
        self._broken = 0
        self._first_partial_ms: float | None = None
        self._endpoint_ms: float | None = None
        self._late_s = 0.0
        self._cut_off: ConnectionClosed | None = None
        self.messages: dict[int, Any] = {}
        """Events by their number."""

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hear)
            try:
                await self._speak()
            except ConnectionClosed as error:
                self._cut_off = error
            tasks.cancel_scope.cancel()
        # Out of the task group, which would wrap it.
        if self._cut_off is not None:
            raise SpeechError(ErrorCode.INTERNAL, f"The session's connection broke: {self._cut_off}") from self._cut_off

    async def _speak(self) -> None:
        audio = np.concatenate((self._samples, _hush_after(self._samples)))
        self._began_s = anyio.current_time()
        settled_s = float("inf")
        for number, begin in enumerate(range(0, len(audio), _FRAME_SAMPLES), 1):
            # A frame is there when its last sample is.
            due_s = self._began_s + number * _FRAME_SAMPLES / SESSION_RATE_HZ
            await anyio.sleep_until(due_s)
            self._late_s = max(self._late_s, anyio.current_time() - due_s)
            await self._socket.send(pcm16_from_float(audio[begin : begin + _FRAME_SAMPLES]))
            if self._endpoint_ms is None:
                settled_s = float("inf")
            elif settled_s == float("inf"):
                settled_s = anyio.current_time() + _SETTLED_S
            if begin > len(self._samples) and anyio.current_time() > settled_s:
                break
        await self._socket.send('{"type": "close"}')

    async def _hear(self) -> None:
        try:
            async for message in self._socket:
                if isinstance(message, str):
                    event = _EVENT.decode(message)
                    if event.seq:
                        self.messages[event.seq] = msgspec.json.decode(message)
                    self._note(event)
        except ConnectionClosed as error:
            self._cut_off = error

    def _note(self, event: _Event) -> None:
        since_ms = 1000 * (anyio.current_time() - self._began_s)
        match event.type:
            case "transcript.partial":
                self._broken += not event.text.startswith(self._stable.get(event.turn, ""))
                self._stable[event.turn] = event.stable_text
                self._partials.append((event.turn, event.text))
                if event.text and self._first_partial_ms is None:
                    self._first_partial_ms = since_ms - 1000 * self._start_s
            case "turn.ended" | "turn.amended":
                self._texts[event.turn] = event.text
                if event.type == "turn.ended" and event.ended_ms >= 1000 * self._end_s - _TOLERANCE_MS:
                    self._endpoint_ms = since_ms - 1000 * self._end_s
            case "turn.reopened" | "turn.cleared":
                self._texts.pop(event.turn, None)
                self._endpoint_ms = None
            case _:
                pass

    def result(self, lost_events: int) -> Streamed:
        return Streamed(
            text=" ".join(text for _, text in sorted(self._texts.items()) if text),
            partials=tuple(self._partials),
            broken_promises=self._broken,
            first_partial_ms=self._first_partial_ms,
            endpoint_ms=self._endpoint_ms,
            turns=len(self._texts),
            lost_events=lost_events,
            late_ms=1000 * self._late_s,
        )


def _hush_after(samples: Samples) -> Samples:
    """Noise as loud as the recording is where it is quietest: digital silence would be an event of its own."""
    pieces = samples[: len(samples) // _QUIETEST_SAMPLES * _QUIETEST_SAMPLES].reshape(-1, _QUIETEST_SAMPLES)
    level = float(np.sqrt((pieces**2).mean(axis=1)).min()) if len(pieces) else 0.0
    noise = np.random.default_rng(0).standard_normal(int(_AFTER_S * SESSION_RATE_HZ))
    return (noise * min(level, 0.003)).astype(np.float32)


async def _lost(http: httpx.AsyncClient, session_id: str, messages: dict[int, Any]) -> int:
    """Events that are not, to the letter, what a client gets who reads half of the stream and then resumes."""
    seen = sorted(messages)
    middle = seen[len(seen) // 2] if seen else 0
    first = await _events(http, session_id, 0)
    again = {seq: event for seq, event in first.items() if seq <= middle} | await _events(http, session_id, middle)
    # That the session was closed may not have reached the socket any more.
    return sum(again.get(seq) != event for seq, event in messages.items()) + sum(
        again.get(seq) != event for seq, event in first.items()
    )


async def _events(http: httpx.AsyncClient, session_id: str, after: int) -> dict[int, Any]:
    """What server-sent events there are, by number, after that one."""
    async with told("Antiphon"):
        response = await http.get(f"/v1/sessions/{session_id}/events", headers={"Last-Event-ID": str(after)})
    found: dict[int, Any] = {}
    for line in (await checked(response, "Antiphon")).text.splitlines():
        if line.startswith("data: "):
            event = cast("dict[str, Any]", msgspec.json.decode(line.removeprefix("data: ")))
            found[int(event["seq"])] = event
    return found
