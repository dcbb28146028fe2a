"""Event stores: where the logs of sessions are kept.

Above: :class:`session.log.EventLog`, which numbers events and wakes subscribers. Below: memory, or a database. Every
implementation passes ``tests/contract/test_store_contract.py``. A store has one writing process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from schemas.errors import ErrorCode, SpeechError
from schemas.events import ServerEvent
from schemas.principal import LOCAL
from schemas.sessions import SessionSettings, SessionState


class SessionRecord(Struct, frozen=True, kw_only=True):
    """What a store knows of a session beside its events."""

    session_id: str
    created_at: str
    """RFC 3339, UTC."""
    settings: SessionSettings
    state: SessionState
    tenant: str = LOCAL.tenant
    """Whose it is."""
    subject: str = LOCAL.subject
    """Who of the tenant opened it."""
    last_seq: int = 0
    """Sequence number of the newest event."""
    first_seq: int = 1
    """Sequence number of the oldest event still kept."""
    at_ms: int = 0
    """The session's audio clock at the newest event."""


class EventStore(Protocol):
    """Append-only logs, one a session."""

    async def create(self, record: SessionRecord) -> None:
        """Begin the log of a new session."""
        ...

    async def append(self, session_id: str, events: Sequence[ServerEvent]) -> None:
        """Add events, numbered by the caller without gaps. They are durable when this returns."""
        ...

    async def read(self, session_id: str, after_seq: int, limit: int) -> list[ServerEvent]:
        """At most ``limit`` events after ``after_seq``, in order.

        Raises:
            SpeechError: ``unknown_session``; ``events_expired`` if the next event is no longer kept.
        """
        ...

    async def record(self, session_id: str) -> SessionRecord:
        """What is known of a session.

        Raises:
            SpeechError: ``unknown_session``.
        """
        ...

    async def set_state(self, session_id: str, state: SessionState) -> None:
        """Note that a session was closed or interrupted."""
        ...

    async def open_sessions(self) -> list[SessionRecord]:
        """Sessions whose state is open: after a crash, those that were cut off."""
        ...

    async def prune(self, created_before: str) -> int:
        """Forget sessions that are over and were created before this time (RFC 3339, UTC); return how many."""
        ...

    async def aclose(self) -> None:
        """Release files and threads."""
        ...


def unknown_session(session_id: str) -> SpeechError:
    """The one answer for ids that do not exist, whatever the reason."""
    return SpeechError(
        ErrorCode.UNKNOWN_SESSION,
        f"There is no session {session_id[:64]!r}. Open one with open_session (POST /v1/sessions).",
        param="session_id",
    )


def events_expired(after_seq: int, first_seq: int) -> SpeechError:
    """A subscriber asks for events that are no longer kept."""
    return SpeechError(
        ErrorCode.EVENTS_EXPIRED,
        f"Events after {after_seq} are no longer kept; the oldest is {first_seq}. Read the conversation with "
        "get_conversation, then subscribe to what comes after its last_seq.",
    )
