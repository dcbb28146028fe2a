"""What the harness needs of whatever it scores, as Protocols.

Above them: areas (recognition, synthesis, robustness), which ask and count. Below them: a client for each protocol of
this package, and bare engines, which whoever runs the harness brings (``server/evaluation``).
"""

from __future__ import annotations

from typing import Protocol, TypeVar

import httpx
from msgspec import Struct

from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import LanguageGuess, Word

_Part = TypeVar("_Part")


class Search(Struct, frozen=True, kw_only=True):
    """How recognition looks for words, where a target can be told."""

    beam: int = 5
    """1 is greedy."""
    once: bool = False
    """Whether each window is decoded once and without timestamps, whatever Whisper's own checks say of the text, and
    filled up with silence, as it was trained: the model alone, without the loop around it. Bare engines only."""

    def __str__(self) -> str:
        return f"beam {self.beam}{', decoded once, filled up with silence' if self.once else ''}"


class Heard(Struct, frozen=True, kw_only=True):
    """What recognition made of a recording."""

    text: str
    language: str = ""
    """ISO 639-1; empty if it does not say."""
    words: tuple[Word, ...] = ()
    """With their probabilities; empty unless asked for, and if it does not tell them."""
    took_s: float = 0.0
    """From the request to the last of the answer."""


class Spoken(Struct, frozen=True, kw_only=True, eq=False):
    """Speech as it arrived."""

    samples: Samples
    """``float32, (n,)``."""
    rate_hz: int
    """The voice's own."""
    arrivals: tuple[tuple[float, float], ...]
    """Seconds since the request, and seconds of audio in all by then: never empty."""

    @property
    def first_s(self) -> float:
        """From the request to the first sample: not to a header."""
        return self.arrivals[0][0]

    @property
    def took_s(self) -> float:
        """From the request to the last sample."""
        return self.arrivals[-1][0]

    @property
    def audio_s(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate_hz


class Transcriber(Protocol):
    """Recognises recordings. Several may be given to it at once."""

    identity: str
    """All that its texts depend on besides the recording and its language: what serves, its version, the hash of its
    weights, its options. Results are kept under it."""

    async def transcribe(self, audio: bytes, language: str | None, *, words: bool = False) -> Heard:
        """What is said in a file (WAV, FLAC, Ogg, MP3).

        Args:
            audio: The file.
            language: ISO 639-1; ``None`` has it detected.
            words: Whether to tell each word and how sure it is. Whisper's text may differ then: it looks for more after
                the last word.

        Raises:
            SpeechError: As the target has it; those that are ``retryable`` are tried again.
        """
        ...

    async def detect_language(self, audio: bytes) -> LanguageGuess | None:
        """The language of a file; ``None`` if the target cannot tell."""
        ...


class Synthesizer(Protocol):
    """Speaks texts."""

    identity: str
    """As :attr:`Transcriber.identity`."""

    async def voices(self, language: str) -> tuple[str, ...]:
        """The voices of a language, its default first; empty if it cannot tell, or has none."""
        ...

    async def speak(self, text: str, *, voice: str | None, language: str) -> Spoken:
        """A text as it would be read to a person.

        Raises:
            SpeechError: ``no_audio`` if nothing came, and as the target has it.
        """
        ...


class Target(Struct, frozen=True, kw_only=True, eq=False):
    """What is scored, while it is open."""

    name: str
    """As it was asked for: ``inproc``, an address, ``engine:whisper-base``."""
    models: dict[str, str] = {}
    """By kind, with the beginning of their hashes where they are known."""
    transcribes: Transcriber | None = None
    speaks: Synthesizer | None = None
    antiphon: httpx.AsyncClient | None = None
    """A client of its HTTP interface, if it is an Antiphon."""
    pid: int | None = None
    """Its process, if it is one of this machine's that was started for the run."""

    @property
    def transcriber(self) -> Transcriber:
        """Its recognition. Raises ``SpeechError(invalid_request)`` if it has none."""
        return _had(self.transcribes, self.name, "recognise speech")

    @property
    def synthesizer(self) -> Synthesizer:
        """Its synthesis. Raises ``SpeechError(invalid_request)`` if it has none."""
        return _had(self.speaks, self.name, "speak")

    @property
    def server(self) -> httpx.AsyncClient:
        """Antiphon's interface. Raises ``SpeechError(invalid_request)`` if it is no Antiphon."""
        return _had(self.antiphon, self.name, "hold sessions: take inproc, or the address of an Antiphon")


def _had(value: _Part | None, name: str, what: str) -> _Part:
    if value is None:
        raise SpeechError(ErrorCode.INVALID_REQUEST, f"The target {name} cannot {what}.", param="target")
    return value
