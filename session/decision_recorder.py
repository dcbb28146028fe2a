"""Writes the decision logs of live sessions: a file a session, bounded, and never in the way.

The turn core's events are encoded as they happen and handed to a task, which appends them to the file on a worker
thread. A session does not wait for its log: if the disk does not keep up, what waits is dropped and a new part of the
log begins, with the core's state, so that it can be replayed from there. Of a long session the last two parts are
kept.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import structlog
from msgspec import Struct
from msgspec.structs import replace

from schemas.sessions import TurnSettings
from session.decision_log import Entry, Header, ModelUsed, encoded_actions, entry_line, header_line
from session.redaction import Redactor
from session.turn_actions import TurnAction
from session.turn_events import TurnEvent
from session.turn_state import TurnState

logger = structlog.get_logger("antiphon.session")

UNWRITTEN_BYTES_MAX: Final = 1024 * 1024
"""What may wait for the disk: five minutes of a session."""
FLUSH_S: Final = 1.0
"""So old may be what waits; a killed process takes it along."""
FLUSH_BYTES: Final = 64 * 1024
WRITE_DEADLINE_S: Final = 10.0
_PARTS: Final = 2


class DecisionLogSettings(Struct, frozen=True, kw_only=True):
    """Where decision logs are, and how large they get."""

    folder: Path
    texts: bool = False
    """Whether they hold what was said, or hashes of it."""
    session_bytes: int = 32_000_000
    """Of one session: two and a half hours."""
    total_bytes: int = 1_000_000_000
    """Of all together: the oldest go first."""


class DecisionRecorder:
    """Of one session, which calls :meth:`record` on the event loop and runs :meth:`run` as its task.

    Args:
        settings: ``None`` records nothing.
        session_id: Names the files.
        turn: The settings that the core decides by.
        models: Whose answers it gets.
        opened_us: Now.
    """

    def __init__(
        self,
        settings: DecisionLogSettings | None,
        session_id: str,
        turn: TurnSettings,
        models: tuple[ModelUsed, ...],
        opened_us: int,
    ) -> None:
        self._settings = settings or DecisionLogSettings(folder=Path())
        self._closed = settings is None
        self._opened_us = opened_us
        self._redactor = None if self._settings.texts else Redactor()
        self._header = Header(
            antiphon=version("antiphon"),
            session_id=session_id,
            part=0,
            redacted=self._redactor is not None,
            models=models,
            settings=turn,
        )
        self._seq = 0
        self._part_bytes = 0
        self._part_written = 0
        self._is_broken = True
        """Whether the next event cannot be joined to what was written: a new part must begin."""
        self._unwritten: deque[tuple[int, bytes]] = deque()
        """Numbers of parts, and lines."""
        self._unwritten_bytes = 0
        self._recorded = anyio.Event()
        self._urgent = anyio.Event()

    def path(self, part: int) -> Path:
        """The file of a part."""
        return self._settings.folder / f"{self._header.session_id}.{part}.jsonl"

    def record(self, state: TurnState, event: TurnEvent, actions: Sequence[TurnAction], now_us: int) -> None:
        """Take what the core was told in this state, and what it wants done."""
        if self._closed:
            return
        self._seq += 1
        if self._is_broken or self._part_bytes >= self._settings.session_bytes // _PARTS:
            self._begin_part(state)
        if self._redactor is not None:
            event = self._redactor.redacted(event)
            actions = [self._redactor.redacted(action) for action in actions]
        entry = Entry(
            seq=self._seq,
            t=state.now_samples,
            us=now_us - self._opened_us,
            event=event,
            actions=encoded_actions(actions),
        )
        self._add(entry_line(entry))

    def _begin_part(self, state: TurnState) -> None:
        if self._redactor is not None:
            state = self._redactor.redacted(state)
        self._header = replace(self._header, part=self._header.part + 1, state=state)
        self._part_bytes = 0
        self._is_broken = False
        self._add(header_line(self._header))

    def _add(self, line: bytes) -> None:
        if self._unwritten_bytes + len(line) > UNWRITTEN_BYTES_MAX:
            logger.warning("decision_log_gap", events=len(self._unwritten))
            self._unwritten.clear()
            self._unwritten_bytes = 0
            self._is_broken = True
            return
        self._unwritten.append((self._header.part, line))
        self._unwritten_bytes += len(line)
        self._part_bytes += len(line)
        self._recorded.set()
        if self._unwritten_bytes >= FLUSH_BYTES:
            self._urgent.set()

    def close(self) -> None:
        """Nothing follows; :meth:`run` writes what there is and returns."""
        self._closed = True
        self._recorded.set()
        self._urgent.set()

    async def run(self) -> None:
        """Write what is recorded, until :meth:`close`. A disk that fails ends the log, not the session."""
        try:
            while self._unwritten or not self._closed:
                await self._recorded.wait()
                with anyio.move_on_after(FLUSH_S):
                    await self._urgent.wait()
                await self._flush()
        except OSError as error:
            logger.warning("decision_log_failed", reason=error.strerror or type(error).__name__)
            self._closed = True
            self._unwritten.clear()

    async def _flush(self) -> None:
        lines, self._unwritten, self._unwritten_bytes = self._unwritten, deque(), 0
        if not self._closed:
            self._recorded, self._urgent = anyio.Event(), anyio.Event()
        with anyio.fail_after(WRITE_DEADLINE_S):
            await anyio.to_thread.run_sync(self._write, lines, abandon_on_cancel=True)

    def _write(self, lines: Sequence[tuple[int, bytes]]) -> None:
        for part in dict.fromkeys(part for part, _ in lines):
            # What was deleted is not begun again in the middle.
            flags = os.O_WRONLY | os.O_APPEND | (os.O_CREAT | os.O_EXCL if part > self._part_written else 0)
            with os.fdopen(os.open(self.path(part), flags, 0o600), "ab") as file:
                file.writelines(line for of_part, line in lines if of_part == part)
            self._part_written = part
            self.path(part - _PARTS).unlink(missing_ok=True)


class DecisionLogs:
    """The decision logs of a process.

    Args:
        settings: ``None`` writes none.

    Raises:
        OSError: The folder cannot be made.
    """

    def __init__(self, settings: DecisionLogSettings | None = None) -> None:
        self._settings = settings
        if settings is not None:
            settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def recorder(
        self, session_id: str, turn: TurnSettings, models: tuple[ModelUsed, ...], opened_us: int
    ) -> DecisionRecorder:
        """That of a new session."""
        return DecisionRecorder(self._settings, session_id, turn, models, opened_us)

    async def prune(self) -> None:
        """Delete the oldest logs while all together are too large."""
        if self._settings is not None:
            await anyio.to_thread.run_sync(self._prune, self._settings)

    def _prune(self, settings: DecisionLogSettings) -> None:
        found = [(path.stat(), path) for path in settings.folder.glob("*.jsonl")]
        total_bytes = sum(stat.st_size for stat, _ in found)
        for stat, path in sorted(found, key=lambda entry: entry[0].st_mtime_ns):
            if total_bytes <= settings.total_bytes:
                return
            path.unlink(missing_ok=True)
            total_bytes -= stat.st_size
