"""What the turn core is told: see :mod:`session.turn`.

Every event can be logged and replayed (:mod:`session.decision_log`), so it is a tagged Struct of plain values. A
``str`` that is neither an id nor a language is what somebody said: a redacted log has a hash in its place. The core may
compare such texts and pass them on, but never reads them: what it must know of the words stands beside them.
"""

from __future__ import annotations

from msgspec import Struct

from schemas.sessions import Interruption


class _TurnEvent(Struct, frozen=True, tag_field="type", tag=True, forbid_unknown_fields=True):
    pass


class VadFrame(_TurnEvent, frozen=True):
    """The next :data:`schemas.audio.VAD_FRAME_SAMPLES` of audio were speech with this probability."""

    probability: float


class EndOfTurnScore(_TurnEvent, frozen=True):
    """The turn detector's answer to :class:`ScoreEndOfTurn`; ``None`` if there is no detector."""

    generation: int
    probability: float | None


class FinalReady(_TurnEvent, frozen=True):
    """The recogniser's answer to :class:`FinalizeAsr`, be it a text or a failure."""

    generation: int


class InputStalled(_TurnEvent, frozen=True):
    """No audio arrives any more; what was said is all there is."""


class SayRequested(_TurnEvent, frozen=True):
    """The agent wants to speak an item."""

    item_id: str
    interruption: Interruption = Interruption.INTERRUPTIBLE


class ItemAudible(_TurnEvent, frozen=True):
    """The first audio of an item is on its way to the user."""

    item_id: str


class ItemPlayed(_TurnEvent, frozen=True):
    """All of an item has been played, or it failed."""

    item_id: str


class StopRequested(_TurnEvent, frozen=True):
    """The client wants the agent silent, or one item unsaid."""

    item_id: str | None = None
    """Only this item; ``None`` for all."""


class FinalPosition(_TurnEvent, frozen=True):
    """The client's last playback position is known, or the time to wait for it is over."""

    item_id: str


TurnEvent = (
    VadFrame
    | EndOfTurnScore
    | FinalReady
    | InputStalled
    | SayRequested
    | ItemAudible
    | ItemPlayed
    | StopRequested
    | FinalPosition
)
