"""What the turn core is told: see :mod:`session.turn`."""

from __future__ import annotations

from msgspec import Struct


class VadFrame(Struct, frozen=True):
    """The next :data:`schemas.audio.VAD_FRAME_SAMPLES` of audio were speech with this probability."""

    probability: float


class EndOfTurnScore(Struct, frozen=True):
    """The turn detector's answer to :class:`ScoreEndOfTurn`; ``None`` if there is no detector."""

    generation: int
    probability: float | None


class FinalReady(Struct, frozen=True):
    """The recogniser's answer to :class:`FinalizeAsr`, be it a text or a failure."""

    generation: int


class InputStalled(Struct, frozen=True):
    """No audio arrives any more; what was said is all there is."""


class SayRequested(Struct, frozen=True):
    """The agent wants to speak an item."""

    item_id: str


class ItemPlayed(Struct, frozen=True):
    """All of an item has been played, or it failed."""

    item_id: str


class StopRequested(Struct, frozen=True):
    """The client wants the agent silent, or one item unsaid."""

    item_id: str | None = None
    """Only this item; ``None`` for all."""


class FinalPosition(Struct, frozen=True):
    """The client's last playback position is known, or the time to wait for it is over."""

    item_id: str


TurnEvent = (
    VadFrame | EndOfTurnScore | FinalReady | InputStalled | SayRequested | ItemPlayed | StopRequested | FinalPosition
)
