"""What the turn core remembers: see :mod:`session.turn`."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from schemas.audio import SESSION_RATE_HZ
from schemas.sessions import Interruption
from session.deadline import PAUSE_MIN_MS, UNHEARD_MS
from session.end_of_turn import WEIGHTS, EndOfTurnWeights
from session.lexicons import TextCues
from session.turn_actions import CommitReason, Timer, TurnAction


class UserState(StrEnum):
    """The user's side."""

    IDLE = "idle"
    USER = "user"
    PAUSED = "paused"
    COMMIT = "commit"
    PENDING = "pending"
    """The turn is committed, and nothing of an answer was heard yet."""


class AgentState(StrEnum):
    """The agent's side."""

    SILENT = "silent"
    SPEAKING = "speaking"
    DUCKED = "ducked"
    """Speaking quietly: somebody else may be speaking."""
    HELD = "held"
    """Paused: somebody else is speaking."""
    YIELD = "yield"
    """Stopped, and waiting to know in which word."""


class HeardText(Struct, frozen=True, forbid_unknown_fields=True):
    """What was understood of the turn."""

    text: str
    language: str
    cues: TextCues
    stability: float
    end_samples: int
    is_failed: bool = False


class QueuedItem(Struct, frozen=True, forbid_unknown_fields=True):
    """What the agent is to say."""

    item_id: str
    interruption: Interruption


class Overlap(Struct, frozen=True, forbid_unknown_fields=True):
    """A voice over the agent's, and what is known of it."""

    start_samples: int
    voiced_samples: int
    """How much of it was voiced."""
    last_voiced_samples: int
    """End of its last voiced frame."""
    asked_samples: int = 0
    """Audio up to which the words were asked for."""
    heard_samples: int = 0
    """Audio up to which they are known; 0 for nothing."""
    text: str = ""
    is_stop: bool = False
    is_like_stop: bool = False
    """Whether it may be a stop-word that was misheard."""
    is_backchannel: bool = False
    """Whether all of it is listening aloud, or has no words."""
    content_words: int = 0
    """Words that were heard clearly, and are part neither of a backchannel nor of a filler."""
    may_be_echo: bool = False
    """It began before anybody knew whether there is an echo."""
    is_turn: bool = False
    """It is an interruption of what cannot be interrupted: the user's turn begins, the agent waits for its end."""


class TurnState(Struct, frozen=True, forbid_unknown_fields=True):
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
    audio_samples: int = 0
    """Where its audio begins: the onset, less the pre-roll."""
    last_voiced_samples: int = 0
    """End of the last voiced frame."""
    partial_samples: int = 0
    """Audio already given to a partial or final transcript."""
    scored_samples: int = 0
    """Audio at which the turn detector was last asked."""
    decided_samples: int = 0
    """When the turn was decided; valid in COMMIT and PENDING."""
    reason: CommitReason = CommitReason.SILENCE
    """What decided it."""
    generation: int = 0
    """Counts requests for a final transcript; answers of an older one are void."""
    finalizing: bool = False
    """Whether, within USER, a final transcript was asked for of the turn up to the silence now."""
    final_ready: bool = False
    """Whether :attr:`heard` is the final transcript."""
    heard: HeardText | None = None
    """The newest text of the turn."""
    score: float | None = None
    """The turn detector's answer about this pause: the newest, or the least."""
    is_scored: bool = False
    """Whether it has answered."""
    probability: float | None = None
    """That the turn is over, all things considered."""
    deadline_ms: int = UNHEARD_MS
    """Silence that ends this pause; valid in PAUSED."""
    pause_ms: float = PAUSE_MIN_MS
    """What the user's pauses have taught."""
    turn_pause_ms: float = 0.0
    """The longest pause of this turn that was taken for its end: as much is waited again."""
    weights: EndOfTurnWeights = WEIGHTS
    """Those the session began with. They are part of the state so that a log replays with its own."""
    eager: str | None = None
    """Text of the open speculation."""
    eager_count: int = 0
    """Speculations of this turn."""
    eager_items: tuple[str, ...] = ()
    """What the agent was given to say while one is open."""
    is_provisional: bool = False
    """Whether, in PENDING, the final transcript is still to come."""
    is_muted: bool = False
    boundary_samples: int = 0
    """End of what was committed or cleared last."""
    timer: Timer | None = None
    """What runs."""
    timer_generation: int = 0
    """Counts timers; one of an older generation is void."""
    item_id: str | None = None
    """What the agent is speaking, or has just been stopped in."""
    interruption: Interruption = Interruption.INTERRUPTIBLE
    """What the user's speech does to it."""
    is_audible: bool = False
    """Whether any of its audio is on its way to the user."""
    audible_samples: int = 0
    """Since when the agent can be heard, without a break."""
    held_samples: int = 0
    """Since when it is paused; valid in HELD."""
    overlap: Overlap | None = None
    """The voice over the agent's, from the onset to the verdict, or to the start of the turn that it is."""
    unheard: Overlap | None = None
    """The last one, if it was judged before its words were there."""
    queue: tuple[QueuedItem, ...] = ()
    """Items that wait for the floor."""


Step = tuple[TurnState, tuple[TurnAction, ...]]


def samples_of_ms(ms: int) -> int:
    """Milliseconds in samples of the session clock."""
    return ms * SESSION_RATE_HZ // 1000


def ms_of_samples(samples: int) -> int:
    """Samples of the session clock in whole milliseconds."""
    return samples * 1000 // SESSION_RATE_HZ


def has_floor(state: TurnState) -> bool:
    """Whether the user has it: their turn is not committed yet."""
    return state.user in {UserState.USER, UserState.PAUSED, UserState.COMMIT}
