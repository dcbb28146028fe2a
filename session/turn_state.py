"""What the turn core remembers: see :mod:`session.turn`."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from schemas.audio import SESSION_RATE_HZ
from session.turn_actions import TurnAction


class UserState(StrEnum):
    """The user's side."""

    IDLE = "idle"
    USER = "user"
    PAUSED = "paused"
    COMMIT = "commit"


class AgentState(StrEnum):
    """The agent's side."""

    SILENT = "silent"
    SPEAKING = "speaking"
    YIELD = "yield"


class TurnState(Struct, frozen=True):
    """All the core remembers."""

    user: UserState = UserState.IDLE
    agent: AgentState = AgentState.SILENT
    now_samples: int = 0
    """Audio received."""
    voiced_samples: int = 0
    """Length of the voiced run that may become an onset; 0 in silence and within USER."""
    turn: int = 0
    """Number of the current turn, or of the last one."""
    start_samples: int = 0
    """Onset of the turn."""
    last_voiced_samples: int = 0
    """End of the last voiced frame."""
    partial_samples: int = 0
    """Audio already given to a partial or final transcript."""
    scored_samples: int = 0
    """Audio at which the turn detector was last asked."""
    decided_samples: int = 0
    """When the turn was decided; valid in COMMIT."""
    generation: int = 0
    """Counts requests for a final transcript; answers of an older one are void."""
    speculating: bool = False
    """Whether, within USER, a final transcript was asked for of the turn up to the silence now."""
    final_ready: bool = False
    score: float | None = None
    """The turn detector's newest answer about this pause."""
    item_id: str | None = None
    """What the agent is speaking, or has just been stopped in."""
    queue: tuple[str, ...] = ()
    """Items that wait for the floor."""


Step = tuple[TurnState, tuple[TurnAction, ...]]


def samples_of_ms(ms: int) -> int:
    """Milliseconds in samples of the session clock."""
    return ms * SESSION_RATE_HZ // 1000


def ms_of_samples(samples: int) -> int:
    """Samples of the session clock in whole milliseconds."""
    return samples * 1000 // SESSION_RATE_HZ
