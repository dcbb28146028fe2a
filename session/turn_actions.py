"""What the turn core wants done: see :mod:`session.turn`.

Actions are logged beside the events that caused them, under the same rules (:mod:`session.turn_events`).
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class _TurnAction(Struct, frozen=True, tag_field="type", tag=True, forbid_unknown_fields=True):
    pass


class TurnStarted(_TurnAction, frozen=True):
    """The user took the floor."""

    turn: int
    start_samples: int
    """Onset of the voice. Audio to recognise starts ``pre_roll_ms`` before."""


class TurnPaused(_TurnAction, frozen=True):
    """The user fell silent; the turn may go on."""

    turn: int
    stop_samples: int


class TurnResumed(_TurnAction, frozen=True):
    """The user went on."""

    turn: int
    resume_samples: int


class PartialAsr(_TurnAction, frozen=True):
    """Recognise what there is of the turn, unless that is still being done for earlier audio."""

    turn: int
    start_samples: int
    end_samples: int


class FinalizeAsr(_TurnAction, frozen=True):
    """Recognise the turn as if it were complete. A later generation makes this one void."""

    turn: int
    generation: int
    start_samples: int
    end_samples: int


class ScoreEndOfTurn(_TurnAction, frozen=True):
    """Ask the turn detector about the audio up to ``end_samples``."""

    generation: int
    start_samples: int
    end_samples: int


class CancelFinal(_TurnAction, frozen=True):
    """The generation asked for last is void."""


class SpeculateTurn(_TurnAction, frozen=True):
    """The turn is probably over: tell who wants to begin an answer.

    Exactly one of :class:`CancelSpeculation` and a :class:`CommitTurn` with the same text follows.
    """

    turn: int
    start_samples: int
    end_samples: int
    text: str
    probability: float


class CancelSpeculation(_TurnAction, frozen=True):
    """The turn was not over, or has another text."""

    turn: int


class CommitReason(StrEnum):
    """What ended a turn."""

    SILENCE = "silence"
    COMMAND = "command"
    LIMIT = "limit"
    STALLED = "stalled"


class CommitTurn(_TurnAction, frozen=True):
    """The turn is complete."""

    turn: int
    start_samples: int
    end_samples: int
    decided_samples: int
    text: str = ""
    """The answer to the newest :class:`FinalizeAsr`."""
    language: str = ""
    reason: CommitReason = CommitReason.SILENCE
    probability: float | None = None
    """That it was over, as far as that decided."""
    is_provisional: bool = False
    """The final transcript is late, and the text is that of the last partial one. :class:`AmendTurn` may follow."""


class AmendTurn(_TurnAction, frozen=True):
    """The final transcript of a turn that was committed without it."""

    turn: int
    text: str


class ReopenTurn(_TurnAction, frozen=True):
    """The user went on after the turn was committed, before any answer was heard: it is not over."""

    turn: int
    resume_samples: int


class ClearTurn(_TurnAction, frozen=True):
    """The turn does not count."""

    turn: int


class NotifyTurnLimit(_TurnAction, frozen=True):
    """The turn is as long as a turn may be, and is ended."""

    turn: int


class NotifyStalledInput(_TurnAction, frozen=True):
    """Audio stopped coming within a turn."""

    turn: int


class NotifyNoResponse(_TurnAction, frozen=True):
    """Nobody answered the turn."""

    turn: int


class NotifyIdle(_TurnAction, frozen=True):
    """Nobody has said anything for long."""


class NotifyKey(_TurnAction, frozen=True):
    """The user pressed a key of a telephone."""

    key: str


class Timer(StrEnum):
    """What is waited for on the machine's clock, since audio may not come, or come faster than it is spoken."""

    IDLE = "idle"
    """Anybody to speak."""
    COMMIT = "commit"
    """The final transcript of a turn that is decided."""
    NO_RESPONSE = "no_response"
    """The first sound of an answer."""


class SetTimer(_TurnAction, frozen=True):
    """Answer with :class:`TimerExpired` after so long on the machine's clock.

    An earlier one of the same name is void. :attr:`Timer.COMMIT` takes longer where recognition is known to.
    """

    timer: Timer
    after_ms: int
    generation: int


class StartItem(_TurnAction, frozen=True):
    """The agent may speak this item now."""

    item_id: str


class DuckItem(_TurnAction, frozen=True):
    """Let the item be played more quietly: the user may be speaking."""

    item_id: str
    gain_db: float


class UnduckItem(_TurnAction, frozen=True):
    """Let it be played as before."""

    item_id: str


class PauseItem(_TurnAction, frozen=True):
    """Let the item stand still."""

    item_id: str


class ResumeItem(_TurnAction, frozen=True):
    """Go on with the item at the start of the word it was paused in."""

    item_id: str


class HearOverlap(_TurnAction, frozen=True):
    """Recognise what the user says over the agent, ahead of everything else. :class:`OverlapHeard` answers.

    Nothing is answered if an earlier one is still being recognised, unless this one is complete.
    """

    overlap_samples: int
    """Onset of the voice: which overlap this is."""
    start_samples: int
    end_samples: int
    is_complete: bool
    """Whether the user has fallen silent."""


class NotifyBackchannel(_TurnAction, frozen=True):
    """What the user said over the agent was no interruption, and is no turn."""

    start_samples: int
    stop_samples: int
    text: str


class CancelResponse(_TurnAction, frozen=True):
    """Tell who writes what the agent says that it has lost the floor."""

    item_ids: tuple[str, ...]
    by_user: bool


class BumpEpoch(_TurnAction, frozen=True):
    """Audio sent so far is stale wherever it is queued.

    Comes before :class:`FlushPlayback` and :class:`ResumeItem`.
    """


class FlushPlayback(_TurnAction, frozen=True):
    """Tell the client to drop what it has buffered of the item."""

    item_id: str


class CancelSpeech(_TurnAction, frozen=True):
    """Stop synthesising the item."""

    item_id: str


class AwaitFinalPosition(_TurnAction, frozen=True):
    """Answer with :class:`FinalPosition` when the client reports it, at the latest after ``timeout_ms``."""

    item_id: str
    timeout_ms: int


class TruncateItem(_TurnAction, frozen=True):
    """Cut the item to what was heard. Comes after its final position."""

    item_id: str


class DropItem(_TurnAction, frozen=True):
    """A queued item will never be spoken."""

    item_id: str


class EndItem(_TurnAction, frozen=True):
    """The item was spoken to its end."""

    item_id: str


UserAction = (
    TurnStarted
    | TurnPaused
    | TurnResumed
    | PartialAsr
    | FinalizeAsr
    | ScoreEndOfTurn
    | CancelFinal
    | SpeculateTurn
    | CancelSpeculation
    | CommitTurn
    | AmendTurn
    | ReopenTurn
    | ClearTurn
    | NotifyTurnLimit
    | NotifyStalledInput
    | NotifyNoResponse
    | NotifyIdle
    | NotifyKey
)
AgentAction = (
    StartItem
    | DuckItem
    | UnduckItem
    | PauseItem
    | ResumeItem
    | HearOverlap
    | NotifyBackchannel
    | BumpEpoch
    | FlushPlayback
    | CancelSpeech
    | CancelResponse
    | AwaitFinalPosition
    | TruncateItem
    | DropItem
    | EndItem
)
TurnAction = UserAction | AgentAction | SetTimer
