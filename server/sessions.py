"""Sessions as the settings want them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from platformdirs import user_data_path

from engines.host import EngineHost
from server.settings import Settings
from session.manager import SessionManager
from session.runner import SessionLimits
from session.stores.base import EventStore
from session.stores.memory import MemoryStore
from session.stores.sqlite import SqliteStore

_DAY_S: Final = 86_400


def session_store(settings: Settings) -> EventStore:
    """Where the logs of sessions are kept.

    Raises:
        SpeechError: ``invalid_setting`` if the file was written by another version.
    """
    if settings.store.kind == "memory":
        return MemoryStore()
    path = settings.store.path
    return SqliteStore(Path(path) if path else user_data_path("antiphon") / "sessions.sqlite3")


def session_manager(settings: Settings, host: EngineHost, store: EventStore) -> SessionManager:
    """The sessions of this process."""
    limits = SessionLimits(
        max_sessions=settings.limits.max_sessions,
        idle_timeout_s=settings.limits.session_idle_s,
        retention_days=settings.store.retention_s / _DAY_S,
    )
    return SessionManager(host, store, limits)
