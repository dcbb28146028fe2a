"""What recognition returns."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from unicodedata import east_asian_width

from msgspec import Meta, Struct

Hotwords = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=50)]
"""Words to favour. Whisper reads about 220 tokens of them, and of a prompt what they leave room for: some 50 names."""


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


class TokenLogprob(Struct, frozen=True):
    """A token of a transcript, and how sure recognition was of it."""

    data: bytes
    """UTF-8; a token may end within a character. The tokens of a segment, joined, are its text."""
    logprob: float
    """Natural logarithm of its probability, given the audio and the text before it."""


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
    logprobs: tuple[TokenLogprob, ...] = ()
    """Empty unless asked for."""


class Transcript(Struct, frozen=True):
    """The text of one piece of audio. Silence has an empty text and no segments."""

    text: str
    language: str
    """ISO 639-1."""
    language_probability: float
    duration_s: float
    """Length of the audio, speech or not."""
    segments: tuple[Segment, ...] = ()
    sentence_end: float | None = None
    """Probability that a sentence ends behind the text, by its words alone, whatever mark it has; ``None`` unless asked
    for, or where nobody can say."""

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of all segments; empty unless word times were asked for."""
        return tuple(word for segment in self.segments for word in segment.words)


class Progress(Struct, frozen=True):
    """How far recognition of a recording has come."""

    done_s: float
    """Seconds of audio that are finished."""


def continuation(text: str, segment_text: str) -> str:
    """What a segment adds to the text of those before it.

    Most languages have a space between segments, those of wide characters have none unless the engine gives one.
    """
    if not text:
        return segment_text.lstrip()
    is_spaced = segment_text[:1].isspace() or east_asian_width(segment_text[:1] or " ") in {"W", "F"}
    return segment_text if is_spaced else f" {segment_text}"


class LanguageGuess(Struct, frozen=True):
    """One candidate of language identification."""

    language: str
    """ISO 639-1."""
    probability: float
