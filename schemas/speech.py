"""What synthesis takes and returns."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from schemas.audio import Samples

MAX_LEXICON_ENTRIES = 200
MIN_SPEED, MAX_SPEED = 0.25, 4.0
MAX_GAIN_DB = 20.0


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
    can_be_mixed: bool = False
    """Whether it may be part of a mix with others of its model, as in ``af_heart:0.7+bf_emma:0.3``."""
    cloned: bool = False
    """Whether it is that of a person, who has consented and may take that back: what it says is not kept."""
    tenant: str | None = None
    """Who alone may speak with it; ``None`` is everyone."""


def is_speakable(text: str) -> bool:
    """Whether there is anything to say in a text: a letter or a digit of any script."""
    return any(char.isalnum() for char in text)


class LexiconEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a word or phrase is said, whatever its spelling. Either ``say`` or ``ipa``."""

    word: Annotated[str, Meta(min_length=1, max_length=64, description="A word or phrase, found as whole words.")]
    say: Annotated[
        Annotated[str, Meta(min_length=1, max_length=128)] | None,
        Meta(description="Words to say instead, as in Zhivago: jee-vah-go."),
    ] = None
    ipa: Annotated[
        Annotated[str, Meta(min_length=1, max_length=128)] | None,
        Meta(description="Its pronunciation in the International Phonetic Alphabet, without brackets."),
    ] = None
    match_case: Annotated[bool, Meta(description="Whether to tell US from us.")] = False


Lexicon = Annotated[
    tuple[LexiconEntry, ...],
    Meta(
        max_length=MAX_LEXICON_ENTRIES,
        description="How words are pronounced. Longer phrases go before shorter ones, then the first entry counts.",
    ),
]
Speed = Annotated[float, Meta(ge=MIN_SPEED, le=MAX_SPEED, description="1 is the voice's own pace, 2 twice as fast.")]
GainDb = Annotated[
    float,
    Meta(ge=-MAX_GAIN_DB, le=MAX_GAIN_DB, description="Loudness over the voice's own, in decibels; peaks are rounded."),
]


class SpeechOptions(Struct, frozen=True, kw_only=True):
    """How a text is to be spoken: what every surface that speaks takes besides text and voice."""

    speed: Speed = 1.0
    ssml: Annotated[
        bool,
        Meta(description="Whether the text is SSML, a whole <speak> document; it is never taken for it otherwise."),
    ] = False
    normalize: Annotated[
        bool,
        Meta(description="Read numbers, dates, units and the like out, and leave out markdown and emoji."),
    ] = True
    lexicon: Lexicon = ()
    gain_db: GainDb = 0.0

    def on_top_of(self, *, speed: float, gain_db: float, lexicon: tuple[LexiconEntry, ...]) -> SpeechOptions:
        """These, where those are the voice's own: a faster voice is told to be twice as fast, and so on."""
        return replace(
            self,
            speed=min(max(self.speed * speed, MIN_SPEED), MAX_SPEED),
            gain_db=min(max(self.gain_db + gain_db, -MAX_GAIN_DB), MAX_GAIN_DB),
            lexicon=(*self.lexicon, *lexicon),
        )

    @property
    def speech_options(self) -> SpeechOptions:
        """These alone, of a request that has more fields."""
        return SpeechOptions(
            speed=self.speed,
            ssml=self.ssml,
            normalize=self.normalize,
            lexicon=self.lexicon,
            gain_db=self.gain_db,
        )


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
