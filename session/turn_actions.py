"""What the turn core wants done: see :mod:`session.turn`.

Actions are logged beside the events that caused them, under the same rules (:mod:`session.turn_events`).
"""

from __future__ import annotations

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


class CommitTurn(_TurnAction, frozen=True):
    """The turn is complete; its text is the answer to the newest :class:`FinalizeAsr`."""

    turn: int
    start_samples: int
    end_samples: int
    decided_samples: int


class StartItem(_TurnAction, frozen=True):
    """The agent may speak this item now."""

    item_id: str


class BumpEpoch(_TurnAction, frozen=True):
    """Audio sent so far is stale wherever it is queued. Comes before :class:`FlushPlayback`."""


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
