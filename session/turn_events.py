"""What the turn core is told: see :mod:`session.turn`.

Every event can be logged and replayed (:mod:`session.decision_log`), so it is a tagged Struct of plain values. A
``str`` that is neither an id nor a language is what somebody said: a redacted log has a hash in its place. The core may
compare such texts and pass them on, but never reads them: what it must know of the words stands beside them.
"""

from __future__ import annotations

from msgspec import Struct

from schemas.sessions import Interruption
from session.lexicons import TextCues
from session.turn_actions import Timer


class _TurnEvent(Struct, frozen=True, tag_field="type", tag=True, forbid_unknown_fields=True):
    pass


class VadFrame(_TurnEvent, frozen=True):
    """The next :data:`schemas.audio.VAD_FRAME_SAMPLES` of audio were speech with this probability."""

    probability: float
    echo: float | None = 0.0
    """Share of their energy that the agent's own audio explains; ``None`` while nobody knows if there is an echo."""


class EndOfTurnScore(_TurnEvent, frozen=True):
    """The turn detector's answer to :class:`ScoreEndOfTurn`; ``None`` if there is no detector."""

    generation: int
    probability: float | None


class PartialReady(_TurnEvent, frozen=True):
    """What was understood of a turn that lasts."""

    turn: int
    text: str
    language: str
    cues: TextCues
    stability: float
    """Share of the words that will stay."""
    end_samples: int
    """The audio up to here is in the text."""


class FinalReady(_TurnEvent, frozen=True):
    """The recogniser's answer to :class:`FinalizeAsr`, be it a text or a failure."""

    generation: int
    text: str = ""
    language: str = ""
    cues: TextCues = TextCues()
    stability: float = 1.0
    """Share of the words of the last partial transcript that this one has too."""
    is_failed: bool = False


class InputStalled(_TurnEvent, frozen=True):
    """No audio arrives any more; what was said is all there is."""


class TimerExpired(_TurnEvent, frozen=True):
    """A timer set with this generation is due."""

    timer: Timer
    generation: int


class CommitRequested(_TurnEvent, frozen=True):
    """The client says that the turn is over."""


class ClearRequested(_TurnEvent, frozen=True):
    """The client says that what the user has said in this turn does not count."""


class MuteChanged(_TurnEvent, frozen=True):
    """From here on the user's audio counts as silence, or no longer does."""

    is_muted: bool


class KeyPressed(_TurnEvent, frozen=True):
    """The user pressed a key of a telephone."""

    key: str


class SayRequested(_TurnEvent, frozen=True):
    """The agent wants to speak an item."""

    item_id: str
    interruption: Interruption = Interruption.INTERRUPTIBLE


class OverlapHeard(_TurnEvent, frozen=True):
    """The answer to :class:`HearOverlap`."""

    start_samples: int
    """Onset of the voice: which overlap this is."""
    end_samples: int
    """The audio up to here is in the text."""
    text: str
    cues: TextCues
    confidence: float
    """Mean probability of the words."""
    is_like_stop: bool = False
    """Whether they may be a stop-word that was misheard (:func:`session.lexicons.is_like_stop`)."""


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
    | PartialReady
    | FinalReady
    | InputStalled
    | TimerExpired
    | CommitRequested
    | ClearRequested
    | MuteChanged
    | KeyPressed
    | SayRequested
    | OverlapHeard
    | ItemAudible
    | ItemPlayed
    | StopRequested
    | FinalPosition
)
