"""What the turn core wants done: see :mod:`session.turn`."""

from __future__ import annotations

from msgspec import Struct


class TurnStarted(Struct, frozen=True):
    """The user took the floor."""

    turn: int
    start_samples: int
    """Onset of the voice. Audio to recognise starts ``pre_roll_ms`` before."""


class TurnPaused(Struct, frozen=True):
    """The user fell silent; the turn may go on."""

    turn: int
    stop_samples: int


class TurnResumed(Struct, frozen=True):
    """The user went on."""

    turn: int
    resume_samples: int


class PartialAsr(Struct, frozen=True):
    """Recognise what there is of the turn, unless that is still being done for earlier audio."""

    turn: int
    start_samples: int
    end_samples: int


class FinalizeAsr(Struct, frozen=True):
    """Recognise the turn as if it were complete. A later generation makes this one void."""

    turn: int
    generation: int
    start_samples: int
    end_samples: int


class ScoreEndOfTurn(Struct, frozen=True):
    """Ask the turn detector about the audio up to ``end_samples``."""

    generation: int
    start_samples: int
    end_samples: int


class CancelFinal(Struct, frozen=True):
    """The generation asked for last is void."""


class CommitTurn(Struct, frozen=True):
    """The turn is complete; its text is the answer to the newest :class:`FinalizeAsr`."""

    turn: int
    start_samples: int
    end_samples: int
    decided_samples: int


class StartItem(Struct, frozen=True):
    """The agent may speak this item now."""

    item_id: str


class BumpEpoch(Struct, frozen=True):
    """Audio sent so far is stale wherever it is queued. Comes before :class:`FlushPlayback`."""


class FlushPlayback(Struct, frozen=True):
    """Tell the client to drop what it has buffered of the item."""

    item_id: str


class CancelSpeech(Struct, frozen=True):
    """Stop synthesising the item."""

    item_id: str


class AwaitFinalPosition(Struct, frozen=True):
    """Answer with :class:`FinalPosition` when the client reports it, at the latest after ``timeout_ms``."""

    item_id: str
    timeout_ms: int


class TruncateItem(Struct, frozen=True):
    """Cut the item to what was heard. Comes after its final position."""

    item_id: str


class DropItem(Struct, frozen=True):
    """A queued item will never be spoken."""

    item_id: str


class EndItem(Struct, frozen=True):
    """The item was spoken to its end."""

    item_id: str


TurnAction = (
    TurnStarted
    | TurnPaused
    | TurnResumed
    | PartialAsr
    | FinalizeAsr
    | ScoreEndOfTurn
    | CancelFinal
    | CommitTurn
    | StartItem
    | BumpEpoch
    | FlushPlayback
    | CancelSpeech
    | AwaitFinalPosition
    | TruncateItem
    | DropItem
    | EndItem
)
