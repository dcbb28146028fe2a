"""What happened in one conversation, on the user's clock: truth from the user's side, events from the server's."""

from __future__ import annotations

from msgspec import Struct

from evals.turns.device import Played
from evals.turns.dialogue import Intent
from evals.turns.rendering import Span
from schemas.audio import Samples


class WordPlace(Struct, frozen=True):
    """A word of the agent, with its place in the item's audio."""

    text: str
    start_ms: int = 0
    end_ms: int = 0


class WireEvent(Struct, frozen=True, kw_only=True):
    """What the simulator reads of a server event, whatever else is in it: other versions are measured too."""

    type: str
    at_ms: int = 0
    turn: int = 0
    text: str = ""
    started_ms: int = 0
    ended_ms: int = 0
    decided_ms: int = 0
    item_id: str = ""
    status: str = ""
    heard_text: str = ""
    epoch: int = 0
    offset_ms: int = 0
    position_ms: int | None = None
    gain_db: float = 0.0
    words: tuple[WordPlace, ...] = ()


class Received(Struct, frozen=True):
    """An event, and when it reached the user."""

    clock_samples: int
    event: WireEvent


class Utterance(Struct, frozen=True, kw_only=True):
    """Something the user did."""

    place: int
    """Of its line in the script."""
    intent: Intent
    text: str
    start_samples: int
    end_samples: int
    """Of the last sound."""
    holds: tuple[Span, ...]
    """On the user's clock."""
    item_id: str | None
    """What the agent was saying."""


class Performance(Struct, frozen=True, kw_only=True, eq=False):
    """One conversation, held."""

    name: str
    language: str
    voice: str
    channel: str
    has_echo: bool
    buffer_ms: int
    utterances: tuple[Utterance, ...]
    received: tuple[Received, ...]
    played: tuple[Played, ...]
    microphone: Samples | None = None
    """``float32, (n,)``, 16 kHz: all that was sent."""
    loudspeaker: Samples | None = None
    """All that came out, on the same clock."""
    late_ms: float = 0.0
    """The most that a frame was sent late: what the simulator itself added to latencies."""
    unfinished: str = ""
    """Why it ended before the script did."""
