"""What synthesis takes and returns."""

from __future__ import annotations

from msgspec import Struct

from schemas.audio import Samples


class Voice(Struct, frozen=True):
    """A voice one can ask for by ``id``."""

    id: str
    """Unique in this server, as in ``en_US-joe-medium``."""
    model: str
    """The catalog name of the model that speaks it."""
    language: str
    """BCP 47, as in ``en-US``."""
    sample_rate_hz: int
    name: str = ""
    gender: str = ""
    aliases: tuple[str, ...] = ()
    """Other names that reach this voice, such as OpenAI's ``alloy``."""


def is_speakable(text: str) -> bool:
    """Whether there is anything to say in a text: a letter or a digit of any script."""
    return any(char.isalnum() for char in text)


class SpokenWord(Struct, frozen=True):
    """A word of the source text with its place in the synthesised audio."""

    text: str
    text_start: int
    """Offset of its first character in the text that was to be spoken."""
    text_end: int
    """Offset after its last character."""
    start_s: float
    """From the start of the utterance."""
    end_s: float


class SpeechChunk(Struct, frozen=True, eq=False):
    """A piece of synthesised audio. The chunks of one utterance, joined, are the utterance."""

    samples: Samples
    """``float32, (n,)``, -1…1, mono."""
    sample_rate_hz: int
    words: tuple[SpokenWord, ...] = ()
    """Words that *start* in this chunk; times count from the start of the utterance."""
