"""The event log of one live session: numbers events, makes them durable, wakes who follows.

An event is published only after the store has it. So what a subscriber saw is never lost to a crash, and resuming by
the last number it saw is exact.

Followers pull: each has a position, reads the tail that is kept in memory, and falls back to the store when it is
far behind. So a slow one costs the others nothing, and none needs a queue of its own.

The agent's audio is not stored. It stays in memory for a while (:mod:`session.agent_audio`); a follower that comes
later gets the ``say.audio`` event without the audio.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

import anyio
from msgspec import Struct
from msgspec.structs import replace

from schemas.errors import ErrorCode, SpeechError
from schemas.events import SayAudio, SayEnded, ServerEvent, SessionClosed
from session.agent_audio import AgentAudio
from session.stores.base import EventStore

TAIL_EVENTS: Final = 512
"""Events kept in memory: half a minute of a busy session."""
UNWRITTEN_EVENTS_MAX: Final = 4_096
READ_EVENTS: Final = 256
WRITE_DEADLINE_S: Final = 10.0


OnEvents = Callable[[str, Sequence[ServerEvent]], None]
"""Takes the session and events of it that are durable by now. It returns at once, and does not fail."""


def ignore_events(_session_id: str, _events: Sequence[ServerEvent]) -> None:
    """For logs that nobody observes."""


class Published(Struct, frozen=True, eq=False):
    """An event as it goes to a subscriber."""

    event: ServerEvent
    pcm: bytes | None = None
    """Audio of a ``say.audio`` event: 16-bit mono PCM at the session's output rate."""


class EventLog:
    """Owned by one session: ``publish`` is called on the event loop, ``write`` runs as its task."""

    def __init__(self, session_id: str, store: EventStore, on_events: OnEvents = ignore_events) -> None:
        self._session_id = session_id
        self._store = store
        self._on_events = on_events
        self._tail: deque[ServerEvent] = deque(maxlen=TAIL_EVENTS)
        self._unwritten: list[ServerEvent] = []
        self.audio = AgentAudio()
        """Of what the agent says."""
        self._last_seq = 0
        self._written_seq = 0
        self._published = anyio.Event()
        self._wakeup = anyio.Event()
        self._closed = False
        self._abandoned = False

    @property
    def last_seq(self) -> int:
        """Number of the newest event, written or not."""
        return self._last_seq

    @property
    def is_complete(self) -> bool:
        """Whether nothing will follow the newest event."""
        return self._closed

    def publish(self, event: ServerEvent, at_ms: int, pcm: bytes | None = None) -> None:
        """Take an event; it reaches subscribers once it is durable. Nothing follows ``session.closed``.

        Raises:
            SpeechError: ``overloaded`` if the store is thousands of events behind; never for what ends an item or the
                session, or neither would ever end.
        """
        if self._closed:
            return
        if len(self._unwritten) >= UNWRITTEN_EVENTS_MAX and not isinstance(event, SayEnded | SessionClosed):
            raise SpeechError(ErrorCode.OVERLOADED, "The session store does not keep up; try again later.")
        self._last_seq += 1
        self._unwritten.append(replace(event, seq=self._last_seq, at_ms=at_ms))
        self._closed = isinstance(event, SessionClosed)
        if pcm is not None and isinstance(event, SayAudio):
            self.audio.keep(self._last_seq, event, pcm)
        self._wakeup.set()

    async def write(self) -> None:
        """Write what is published, many events a transaction when they come fast, until ``session.closed``."""
        while not (self._closed and not self._unwritten):
            await self._wakeup.wait()
            self._wakeup = anyio.Event()
            await self.flush()

    async def flush(self) -> None:
        """Write and publish what there is."""
        while self._unwritten:
            batch, self._unwritten = self._unwritten, []
            await self._store.append(self._session_id, batch)
            self._tail.extend(batch)
            self._written_seq = batch[-1].seq
            self._published.set()
            self._published = anyio.Event()
            self._on_events(self._session_id, batch)

    async def written(self) -> None:
        """Wait until all that was published by now is durable: nobody is told what a crash could take back.

        Raises:
            SpeechError: ``overloaded`` if the store takes longer than :data:`WRITE_DEADLINE_S`.
        """
        seq = self._last_seq
        with anyio.move_on_after(WRITE_DEADLINE_S):
            while self._written_seq < seq and not self._abandoned:
                await self._published.wait()
            return
        raise SpeechError(ErrorCode.OVERLOADED, "The session store does not keep up; try again later.")

    def abandon(self) -> None:
        """The store failed: nothing more will be written, and followers are let go."""
        self._closed = self._abandoned = True
        self._unwritten.clear()
        self._wakeup.set()
        self._published.set()

    async def follow(self, after_seq: int) -> AsyncGenerator[Published, None]:
        """Events after ``after_seq``: those there are, then each new one, until ``session.closed``.

        Raises:
            SpeechError: ``events_expired`` if the next event is no longer kept.
        """
        position = after_seq
        while True:
            published = self._published  # taken before reading, so that no event falls between
            if position >= self._written_seq:
                if self._abandoned or (self._closed and self._written_seq == self._last_seq):
                    return
                await published.wait()
                continue
            for event in await self._after(position):
                position = event.seq
                yield Published(event, self.audio.piece(event.seq))
                if isinstance(event, SessionClosed):
                    return

    async def _after(self, seq: int) -> list[ServerEvent]:
        if self._tail and self._tail[0].seq <= seq + 1:
            return [event for event in self._tail if event.seq > seq]
        return await self._store.read(self._session_id, seq, READ_EVENTS)
