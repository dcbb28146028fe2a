"""An event store that lives and dies with the process."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from schemas.events import ServerEvent
from schemas.sessions import SessionState
from session.stores.base import SessionRecord, events_expired, unknown_session


class _Log(Struct):
    record: SessionRecord
    events: deque[ServerEvent]


class MemoryStore:
    """Keeps the newest ``retention_events`` of each session."""

    def __init__(self, retention_events: int = 100_000) -> None:
        self._retention_events = retention_events
        self._logs: dict[str, _Log] = {}

    async def create(self, record: SessionRecord) -> None:
        """Begin the log of a new session."""
        self._logs[record.session_id] = _Log(record, deque(maxlen=self._retention_events))

    async def append(self, session_id: str, events: Sequence[ServerEvent]) -> None:
        """Add events; the oldest beyond the retention go."""
        log = self._log(session_id)
        log.events.extend(events)
        newest = log.events[-1]
        log.record = replace(log.record, last_seq=newest.seq, first_seq=log.events[0].seq, at_ms=newest.at_ms)

    async def read(self, session_id: str, after_seq: int, limit: int) -> list[ServerEvent]:
        """At most ``limit`` events after ``after_seq``."""
        log = self._log(session_id)
        skip = after_seq + 1 - log.record.first_seq
        if skip < 0:
            raise events_expired(after_seq, log.record.first_seq)
        return list(islice(log.events, skip, skip + limit))

    async def record(self, session_id: str) -> SessionRecord:
        """What is known of a session."""
        return self._log(session_id).record

    async def set_state(self, session_id: str, state: SessionState) -> None:
        """Note that a session was closed or interrupted."""
        log = self._log(session_id)
        log.record = replace(log.record, state=state)

    async def open_sessions(self) -> list[SessionRecord]:
        """Sessions whose state is open."""
        return [log.record for log in self._logs.values() if log.record.state is SessionState.OPEN]

    async def prune(self, created_before: str) -> int:
        """Forget old sessions that are over."""
        old = [
            session_id
            for session_id, log in self._logs.items()
            if log.record.state is not SessionState.OPEN and log.record.created_at < created_before
        ]
        for session_id in old:
            del self._logs[session_id]
        return len(old)

    async def aclose(self) -> None:
        """Forget everything."""
        self._logs.clear()

    def _log(self, session_id: str) -> _Log:
        if session_id not in self._logs:
            raise unknown_session(session_id)
        return self._logs[session_id]
