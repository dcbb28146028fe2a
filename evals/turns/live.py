"""A conversation with a running server, in real time, over its public HTTP and WebSocket interface."""

from __future__ import annotations

from typing import Any, Final

import anyio
import httpx
import msgspec
import numpy as np
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from evals.acoustics import EchoPath
from evals.targets.http_errors import checked, told
from evals.targets.session_socket import session_socket
from evals.turns.cast import AGENT_VOICE
from evals.turns.corpus import rng_of
from evals.turns.device import Device
from evals.turns.performance import Performance, Received, WireEvent
from evals.turns.play import Play, Uttered, performed
from evals.turns.scenario import Scenario
from schemas.audio import SESSION_RATE_HZ, Samples, float_from_pcm16, pcm16_from_float

FRAME_SAMPLES: Final = SESSION_RATE_HZ * 20 // 1000
"""What telephony and browsers send at a time."""
_ACK_SAMPLES: Final = SESSION_RATE_HZ // 10
_AFTER_SAMPLES: Final = 2 * SESSION_RATE_HZ
"""The line stays open so long after the last event of the script, for what may still go wrong."""
_LIMIT_S: Final = 180.0
"""Of one conversation: longer ones hang."""

_EVENT: Final = msgspec.json.Decoder(WireEvent)


async def converse(http: httpx.AsyncClient, scenario: Scenario, turn_settings: dict[str, Any]) -> Performance:
    """Hold one conversation.

    Args:
        http: Has the server's address as its base, and a key where the server wants one.
        scenario: Who says what.
        turn_settings: The session's ``turn``, over the server's defaults.

    Raises:
        SpeechError: What the server answers instead of a session.
    """
    body: dict[str, Any] = {
        "language": scenario.plan.dialogue.language,
        "voice": AGENT_VOICE,
        "input_rate_hz": SESSION_RATE_HZ,
        "output_rate_hz": SESSION_RATE_HZ,
    }
    if turn_settings:
        body["turn"] = turn_settings
    async with told("Antiphon"):
        response = await http.post("/v1/sessions", json=body)
    session_id = str((await checked(response, "Antiphon")).json()["session_id"])
    async with session_socket(http, session_id) as socket:
        call = _Call(socket, scenario)
        with anyio.move_on_after(_LIMIT_S) as limit:
            await call.run()
        return call.performance("took too long" if limit.cancelled_caught else "")


def not_held(scenario: Scenario, why: str) -> Performance:
    """A conversation that nothing came of."""
    plan = scenario.plan
    return Performance(
        name=plan.name,
        language=plan.dialogue.language,
        voice=plan.voice,
        channel=plan.channel.name,
        has_echo=plan.channel.echo is not None,
        buffer_ms=plan.buffer_ms,
        utterances=(),
        received=(),
        played=(),
        unfinished=why,
    )


class _Call:
    def __init__(self, socket: ClientConnection, scenario: Scenario) -> None:
        plan = scenario.plan
        self._socket = socket
        self._scenario = scenario
        self._play = Play(scenario.parts)
        self._device = Device(plan.buffer_ms)
        echo = plan.channel.echo
        self._echo = EchoPath(echo, rng_of(plan.seed, f"{plan.name} echo")) if echo else None
        self._received: list[Received] = []
        self._microphone: list[Samples] = []
        self._loudspeaker: list[Samples] = []
        self._acked: dict[str, int] = {}
        self._current: str | None = None
        self._valid: dict[str, tuple[int, int]] = {}
        """By item: from which epoch on its audio is valid, and up to which place older audio is."""
        self._sending: list[Uttered] = []
        self._done_at: int | None = None
        self._late_s = 0.0
        self._broken = ""

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._receive)
            await self._talk()
            tasks.cancel_scope.cancel()

    def performance(self, unfinished: str) -> Performance:
        return replace(
            not_held(self._scenario, unfinished or self._broken),
            utterances=tuple(performed(one) for one in self._play.uttered),
            received=tuple(self._received),
            played=tuple(self._device.played),
            microphone=_joined(self._microphone),
            loudspeaker=_joined(self._loudspeaker),
            late_ms=1000 * self._late_s,
        )

    async def _talk(self) -> None:
        begun_s = anyio.current_time()
        frames = 0
        try:
            while not self._is_over():
                await self._tick()
                frames += 1
                # A frame is there when its last sample is; one that comes late is made up for, as by hardware.
                due_s = begun_s + frames * FRAME_SAMPLES / SESSION_RATE_HZ
                self._late_s = max(self._late_s, anyio.current_time() - due_s)
                await anyio.sleep_until(due_s)
            await self._send({"type": "close"})
        except ConnectionClosed as error:
            self._broken = f"the connection broke: {error}"

    def _is_over(self) -> bool:
        now = self._device.now_samples
        if not self._play.done:
            self._done_at = None
        elif self._done_at is None:
            self._done_at = now
        return self._done_at is not None and now >= self._done_at + _AFTER_SAMPLES

    async def _tick(self) -> None:
        now = self._device.now_samples
        if uttered := self._play.user_speaks(now, agent_is_silent=self._device.is_silent):
            self._sending.append(uttered)
        if line := self._play.agent_speaks(now):
            await self._send({"type": "say", "text": line.text})
        played = self._device.play(FRAME_SAMPLES)
        if self._current is not None and self._device.position_ms(self._current):
            self._play.item_audible(self._current, now)
        frame = self._heard(now)
        if self._echo is not None:
            frame += self._echo.push(played)
        self._microphone.append(frame)
        self._loudspeaker.append(played)
        await self._socket.send(pcm16_from_float(frame))
        if now % _ACK_SAMPLES == 0 and self._current is not None:
            await self._acknowledge(self._current, self._device.position_ms(self._current))

    def _heard(self, now: int) -> Samples:
        frame = self._scenario.noise.take(range(now, now + FRAME_SAMPLES), mode="wrap").astype(np.float32)
        for uttered in self._sending:
            samples = uttered.part.spoken.samples
            begin = now - uttered.start_samples
            piece = samples[begin : begin + FRAME_SAMPLES]
            frame[: len(piece)] += piece
        self._sending = [one for one in self._sending if one.end_samples > now + FRAME_SAMPLES]
        return frame

    async def _acknowledge(self, item_id: str, played_ms: int, *, final: bool = False) -> None:
        if final or self._acked.get(item_id) != played_ms:
            self._acked[item_id] = played_ms
            await self._send({"type": "playback", "item_id": item_id, "played_ms": played_ms, "final": final})

    async def _receive(self) -> None:
        audio: WireEvent | None = None
        try:
            async for message in self._socket:
                if isinstance(message, bytes):
                    if audio is not None and not self._is_stale(audio):
                        self._device.push(audio.item_id, audio.offset_ms, float_from_pcm16(message))
                    audio = None
                    continue
                event = _EVENT.decode(message)
                if event.type == "say.audio":
                    audio = event
                    continue
                self._received.append(Received(self._device.now_samples, event))
                await self._obey(event)
        except ConnectionClosed as error:
            self._broken = f"the connection broke: {error}"

    def _is_stale(self, audio: WireEvent) -> bool:
        epoch, place_ms = self._valid.get(audio.item_id, (0, 0))
        return audio.epoch < epoch and audio.offset_ms >= place_ms

    async def _obey(self, event: WireEvent) -> None:
        now, item_id = self._device.now_samples, event.item_id
        match event.type:
            case "turn.ended":
                self._play.turn_ended(now)
            case "speech.started" | "speech.resumed" | "turn.reopened":
                self._play.user_goes_on()
            case "say.text" if item_id != self._current:
                self._current = item_id
                self._play.item_created(item_id)
            case "say.ended":
                self._play.item_ended(item_id, now)
            case "playback.duck":
                self._device.duck(item_id, event.gain_db)
            case "playback.pause":
                await self._acknowledge(item_id, self._device.pause(item_id), final=False)
            case "playback.resume":
                if event.position_ms is not None:
                    self._valid[item_id] = (event.epoch, event.position_ms)
                self._device.resume(item_id, event.position_ms)
            case "playback.flush":
                self._valid[item_id] = (event.epoch, 0)
                await self._acknowledge(item_id, self._device.flush(item_id), final=True)
            case _:
                pass

    async def _send(self, message: dict[str, Any]) -> None:
        await self._socket.send(msgspec.json.encode(message).decode())


def _joined(frames: list[Samples]) -> Samples:
    return np.concatenate(frames) if frames else np.zeros(0, np.float32)
