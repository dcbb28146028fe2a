"""What recognition returns."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class AsrTask(StrEnum):
    """What to do with the speech."""

    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"
    """Into English."""


def language_code(tag: str) -> str:
    """The ISO 639-1 part of a language tag: ``en`` of ``en-US``, ``EN`` and ``en_GB``."""
    return tag.replace("_", "-").partition("-")[0].strip().lower()


class Word(Struct, frozen=True):
    """A word with its place in the audio."""

    text: str
    """Without surrounding space."""
    start_s: float
    end_s: float
    probability: float
    """0…1."""


class Segment(Struct, frozen=True):
    """A stretch of a transcript, in the terms Whisper reports."""

    id: int
    text: str
    start_s: float
    end_s: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    temperature: float = 0.0
    seek: int = 0
    tokens: tuple[int, ...] = ()
    words: tuple[Word, ...] = ()


class Transcript(Struct, frozen=True):
    """The text of one piece of audio. Silence has an empty text and no segments."""

    text: str
    language: str
    """ISO 639-1."""
    language_probability: float
    duration_s: float
    """Length of the audio, speech or not."""
    segments: tuple[Segment, ...] = ()

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of all segments; empty unless word times were asked for."""
        return tuple(word for segment in self.segments for word in segment.words)


class LanguageGuess(Struct, frozen=True):
    """One candidate of language identification."""

    language: str
    """ISO 639-1."""
    probability: float
