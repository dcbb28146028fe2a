"""The user's end of a session: microphone and loudspeaker, connected to the server by WebSocket, in real time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final, Self

import anyio
import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from schemas.audio import Samples, float_from_pcm16, pcm16_from_float
from schemas.errors import ErrorCode, SpeechError
from schemas.events import (
    ClientEvent,
    Playback,
    PlaybackDuck,
    PlaybackFlush,
    PlaybackPause,
    PlaybackResume,
    SayAudio,
    ServerEvent,
)
from schemas.sessions import SessionInfo
from server.demo.sound_card import FRAME_MS, Loudspeaker, Microphone

ACK_MS: Final = 100
"""How often the position of the loudspeaker is reported."""

_EVENT: Final = msgspec.json.Decoder(ServerEvent)


class Tick(Struct, frozen=True, eq=False):
    """What one frame of time brought."""

    now_ms: int
    user: Samples
    agent: Samples
    item_id: str | None
    """What plays, or played last."""
    played_ms: int


class Headset:
    """Use :meth:`connected`.

    Args:
        session: Whose user this is.
        on_tick: Called for every frame.
    """

    def __init__(self, session: SessionInfo, on_tick: Callable[[Tick], None]) -> None:
        self.microphone = Microphone(session.settings.input_rate_hz)
        self.loudspeaker = Loudspeaker(session.settings.output_rate_hz)
        self.events: list[ServerEvent] = []
        """As they came over the WebSocket."""
        self.flushed_ms: dict[str, int] = {}
        """Items that were stopped, and when they fell silent, on the microphone's clock."""
        self._session_id = session.session_id
        self._on_tick = on_tick
        self._socket: ClientConnection
        self._ticked = anyio.Event()
        self._acknowledged_ms: dict[str, int] = {}
        self._epoch = 0
        self._hung_up = anyio.Event()

    @asynccontextmanager
    async def connected(self, base_url: str) -> AsyncGenerator[Self]:
        """On the line, from here to the end of the block or of the session."""
        url = f"{base_url.replace('http', 'ws', 1)}/v1/sessions/{self._session_id}/stream"
        async with connect(url, compression=None, proxy=None) as self._socket, anyio.create_task_group() as tasks:
            tasks.start_soon(self._receive)
            tasks.start_soon(self._run)
            yield self
            tasks.cancel_scope.cancel()

    async def until(self, condition: Callable[[Self], bool], timeout_s: float) -> None:
        """Wait until something is so, looked at every frame.

        Raises:
            SpeechError: ``deadline_exceeded`` if it is not so in time.
        """
        with anyio.move_on_after(timeout_s):
            while not condition(self):
                await self._ticked.wait()
            return
        raise SpeechError(ErrorCode.DEADLINE_EXCEEDED, f"Nothing of the kind happened within {timeout_s:.0f} s.")

    async def hung_up(self, timeout_s: float) -> None:
        """Wait until the server has closed the connection: all events are here.

        Raises:
            SpeechError: ``deadline_exceeded`` if it does not.
        """
        with anyio.move_on_after(timeout_s):
            await self._hung_up.wait()
            return
        raise SpeechError(
            ErrorCode.DEADLINE_EXCEEDED, f"The server left the session's connection open for {timeout_s:.0f} s."
        )

    async def _run(self) -> None:
        next_s = anyio.current_time()
        try:
            while True:
                await self._tick()
                # A tick that comes late is made up for: hardware does not wait either.
                next_s += FRAME_MS / 1000
                await anyio.sleep_until(next_s)
        except ConnectionClosed:
            return  # _receive knows more

    async def _tick(self) -> None:
        user, agent = self.microphone.capture(), self.loudspeaker.play()
        now_ms, item_id = self.microphone.now_ms, self.loudspeaker.current
        played_ms = self.loudspeaker.played_ms(item_id) if item_id else 0
        self._on_tick(Tick(now_ms, user, agent, item_id, played_ms))
        self._ticked.set()
        self._ticked = anyio.Event()
        await self._socket.send(pcm16_from_float(user))
        if item_id and now_ms % ACK_MS == 0 and played_ms != self._acknowledged_ms.get(item_id):
            self._acknowledged_ms[item_id] = played_ms
            await self._send(Playback(item_id=item_id, played_ms=played_ms))

    async def _receive(self) -> None:
        try:
            await self._receive_all()
        except ConnectionClosed as error:
            raise SpeechError(ErrorCode.INTERNAL, f"The session's connection broke: {error}.") from error
        self._hung_up.set()

    async def _receive_all(self) -> None:
        audio: SayAudio | None = None
        async for message in self._socket:
            if isinstance(message, bytes):
                if audio is not None and audio.epoch >= self._epoch:
                    self.loudspeaker.push(audio.item_id, float_from_pcm16(message), audio.offset_ms)
                audio = None
                continue
            event = _EVENT.decode(message)
            self.events.append(event)
            match event:
                case SayAudio():
                    audio = event
                case PlaybackDuck():
                    self.loudspeaker.duck(event.gain_db)
                case PlaybackPause():
                    self.loudspeaker.pause()
                    self.flushed_ms[event.item_id] = self.microphone.now_ms
                    played_ms = self.loudspeaker.played_ms(event.item_id)
                    await self._send(Playback(item_id=event.item_id, played_ms=played_ms))
                case PlaybackResume():
                    self._epoch = event.epoch
                    self.flushed_ms.pop(event.item_id, None)
                    self.loudspeaker.resume(event.item_id, event.position_ms)
                case PlaybackFlush():
                    self._epoch = event.epoch
                    self.flushed_ms.setdefault(event.item_id, self.microphone.now_ms)
                    played_ms = self.loudspeaker.flush(event.item_id)
                    await self._send(Playback(item_id=event.item_id, played_ms=played_ms, final=True))
                case _:
                    pass

    async def _send(self, event: ClientEvent) -> None:
        await self._socket.send(msgspec.json.encode(event).decode())
