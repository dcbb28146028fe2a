"""Sessions as the settings want them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from platformdirs import user_data_path

from engines.host import EngineHost
from schemas.errors import ErrorCode, SpeechError
from server.settings import DecisionLogSettings, Settings
from session.decision_recorder import DecisionLogs
from session.decision_recorder import DecisionLogSettings as LogBounds
from session.limits import SessionLimits
from session.log import OnEvents, ignore_events
from session.manager import SessionManager
from session.stores.base import EventStore
from session.stores.memory import MemoryStore
from session.stores.sqlite import SqliteStore


def session_store(settings: Settings) -> EventStore:
    """Where the logs of sessions are kept.

    Raises:
        SpeechError: ``invalid_setting`` if the file cannot be used, is in use or was written by another version.
    """
    if settings.store.kind == "memory":
        return MemoryStore()
    path = settings.store.path
    try:
        return SqliteStore(Path(path) if path else user_data_path("antiphon") / "sessions.sqlite3")
    except (OSError, sqlite3.Error) as error:
        raise SpeechError(
            ErrorCode.INVALID_SETTING,
            f"The session store cannot be opened: {error}. Set store.path (ANTIPHON_STORE_PATH) to a file that can be "
            "written, or store.kind to memory.",
            param="store.path",
        ) from error


def session_manager(
    settings: Settings, host: EngineHost, store: EventStore, on_events: OnEvents = ignore_events
) -> SessionManager:
    """The sessions of this process.

    Raises:
        SpeechError: ``invalid_setting`` if the folder of decision logs cannot be made.
    """
    limits = SessionLimits(
        max_sessions=settings.limits.max_sessions,
        idle_timeout_s=settings.limits.session_idle_s,
        retention_s=settings.store.retention_s,
    )
    return SessionManager(host, store, limits, decision_logs=_decision_logs(settings.decision_log), on_events=on_events)


def _decision_logs(settings: DecisionLogSettings) -> DecisionLogs:
    if settings.dir is None:
        return DecisionLogs()
    bounds = LogBounds(
        folder=Path(settings.dir),
        texts=settings.texts,
        session_bytes=settings.session_mb * 1_000_000,
        total_bytes=settings.total_mb * 1_000_000,
    )
    try:
        return DecisionLogs(bounds)
    except OSError as error:
        raise SpeechError(
            ErrorCode.INVALID_SETTING,
            f"The folder of decision logs cannot be made: {error.strerror}. Set decision_log.dir "
            "(ANTIPHON_DECISION_LOG_DIR) to one that can be written, or leave it out.",
            param="decision_log.dir",
        ) from error
