"""The default event store: one SQLite file in WAL mode.

An event is durable against the death of the process (``kill -9``) when ``append`` returns: it is in the write-ahead
log of the file system. ``synchronous=NORMAL`` leaves the last moments to a power cut, and makes an append cost tens
of microseconds instead of a disk flush.

SQLite blocks, so each call runs on a worker thread; a limiter of one keeps them in order and the connection safe.

A lock file beside it keeps a second server out, which would take the first one's sessions for those of a dead process.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar

import anyio.to_thread
import msgspec
from anyio import CapacityLimiter
from filelock import FileLock, Timeout

from schemas.errors import ErrorCode, SpeechError
from schemas.events import ServerEvent
from schemas.sessions import SessionSettings, SessionState
from session.stores.base import SessionRecord, events_expired, unknown_session

T = TypeVar("T")

SCHEMA_VERSION: Final = 3
SCHEMA: Final = """
CREATE TABLE session (
    id TEXT PRIMARY KEY, created_at TEXT NOT NULL, settings BLOB NOT NULL, state TEXT NOT NULL,
    tenant TEXT NOT NULL, subject TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_by_state ON session (state, created_at);
CREATE TABLE event (
    session_id TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL, at_ms INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (session_id, seq)
) STRICT, WITHOUT ROWID;
"""
TENANTS: Final = "ALTER TABLE session ADD COLUMN tenant TEXT NOT NULL DEFAULT 'local';"
"""From format 1, in which all sessions were everybody's."""
SUBJECTS: Final = """
ALTER TABLE session ADD COLUMN subject TEXT NOT NULL DEFAULT 'local';
UPDATE session SET subject = '' WHERE tenant <> 'local';
"""
"""From format 2, which did not say who of a tenant had opened a session: nobody is taken for them."""
BUSY_TIMEOUT_S: Final = 5.0


class SqliteStore:
    """Keeps the newest ``retention_events`` of each session in the file at ``path``."""

    def __init__(self, path: Path, retention_events: int = 100_000) -> None:
        self._retention_events = retention_events
        self._limiter = CapacityLimiter(1)
        self._encoder = msgspec.json.Encoder()
        self._events = msgspec.json.Decoder(ServerEvent)
        self._settings = msgspec.json.Decoder(SessionSettings)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path.with_name(f"{path.name}.lock"))
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise SpeechError(
                ErrorCode.INVALID_SETTING,
                "Another server keeps its sessions in this store. Stop it, point store.path at another file, or "
                "choose store.kind memory.",
                param="store.path",
            ) from None
        with ExitStack() as opening:
            opening.callback(self._lock.release)
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            opening.callback(self._db.close)
            self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;")
            self._migrate()
            opening.pop_all()  # it is open: only now it stays so

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version < SCHEMA_VERSION:
            change = {0: SCHEMA, 1: TENANTS + SUBJECTS, 2: SUBJECTS}[version]
            self._db.executescript(f"BEGIN; {change} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
        elif version > SCHEMA_VERSION:
            raise SpeechError(
                ErrorCode.INVALID_SETTING,
                f"The session store has format {version}; this version of Antiphon reads {SCHEMA_VERSION}. "
                "Point store.path at another file, or use the version that wrote it.",
                param="store.path",
            )

    async def create(self, record: SessionRecord) -> None:
        """Begin the log of a new session."""
        settings = self._encoder.encode(record.settings)
        row = (record.session_id, record.created_at, settings, record.state.value, record.tenant, record.subject)
        await self._run(lambda: self._db.execute("INSERT INTO session VALUES (?, ?, ?, ?, ?, ?)", row))

    async def append(self, session_id: str, events: Sequence[ServerEvent]) -> None:
        """Add events in one transaction; the oldest beyond the retention go."""
        rows = [(session_id, event.seq, event.at_ms, self._encoder.encode(event)) for event in events]
        expired_seq = events[-1].seq - self._retention_events

        def write() -> None:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany("INSERT INTO event VALUES (?, ?, ?, ?)", rows)
                if expired_seq > 0:
                    self._db.execute("DELETE FROM event WHERE session_id = ? AND seq <= ?", (session_id, expired_seq))
                self._db.execute("COMMIT")
            except sqlite3.IntegrityError as error:
                self._db.execute("ROLLBACK")
                raise unknown_session(session_id) from error
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

        await self._run(write)

    async def read(self, session_id: str, after_seq: int, limit: int) -> list[ServerEvent]:
        """At most ``limit`` events after ``after_seq``."""
        record = await self.record(session_id)
        if after_seq + 1 < record.first_seq:
            raise events_expired(after_seq, record.first_seq)
        sql = "SELECT body FROM event WHERE session_id = ? AND seq > ? ORDER BY seq LIMIT ?"
        rows = await self._run(lambda: self._db.execute(sql, (session_id, after_seq, limit)).fetchall())
        return [self._events.decode(body) for (body,) in rows]

    async def record(self, session_id: str) -> SessionRecord:
        """What is known of a session."""
        records = await self._records("s.id = ?", session_id)
        if not records:
            raise unknown_session(session_id)
        return records[0]

    async def set_state(self, session_id: str, state: SessionState) -> None:
        """Note that a session was closed or interrupted."""
        sql = "UPDATE session SET state = ? WHERE id = ?"
        await self._run(lambda: self._db.execute(sql, (state.value, session_id)))

    async def open_sessions(self) -> list[SessionRecord]:
        """Sessions whose state is open."""
        return await self._records("s.state = ?", SessionState.OPEN.value)

    async def prune(self, created_before: str) -> int:
        """Forget old sessions that are over."""
        sql = "DELETE FROM session WHERE state <> ? AND created_at < ?"
        arguments = (SessionState.OPEN.value, created_before)
        return await self._run(lambda: self._db.execute(sql, arguments).rowcount)

    async def aclose(self) -> None:
        """Close the file."""
        await self._run(self._db.close)
        self._lock.release()

    async def _records(self, where: str, argument: str) -> list[SessionRecord]:
        # `where` is one of the constants above, never a caller's text.
        sql = (
            "SELECT s.id, s.created_at, s.settings, s.state, s.tenant, s.subject, "  # noqa: S608
            "(SELECT max(seq) FROM event WHERE session_id = s.id), "
            "(SELECT min(seq) FROM event WHERE session_id = s.id), "
            "(SELECT at_ms FROM event WHERE session_id = s.id ORDER BY seq DESC LIMIT 1) "
            f"FROM session s WHERE {where}"
        )
        rows = await self._run(lambda: self._db.execute(sql, (argument,)).fetchall())
        return [
            SessionRecord(
                session_id=session_id,
                created_at=created_at,
                settings=self._settings.decode(settings),
                state=SessionState(state),
                tenant=tenant,
                subject=subject,
                last_seq=last_seq or 0,
                first_seq=first_seq or 1,
                at_ms=at_ms or 0,
            )
            for session_id, created_at, settings, state, tenant, subject, last_seq, first_seq, at_ms in rows
        ]

    async def _run(self, call: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(call, limiter=self._limiter)
