"""Bounds of sessions."""

from __future__ import annotations

from msgspec import Struct


class SessionLimits(Struct, frozen=True, kw_only=True):
    """Bounds of sessions."""

    max_sessions: int = 64
    idle_timeout_s: float = 300.0
    """A session without audio or calls for so long is closed."""
    input_stall_s: float = 1.0
    """When no audio arrives for so long within a turn, the turn ends: a client may stop sending when it is silent."""
    asr_deadline_s: float = 30.0
    tts_deadline_s: float = 30.0
    """How long the next piece of speech may take; the item has failed then."""
    retention_s: float = 86_400.0
    """How long the history of a session that is over is kept, counted from when it was opened."""
