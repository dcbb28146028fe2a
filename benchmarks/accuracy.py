"""Word error rates, normalised as the Whisper paper does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import jiwer
from msgspec import Struct
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

from benchmarks.clips import Clip

_ENGLISH: Final[Callable[[str], str]] = cast("Any", EnglishTextNormalizer)()
_OTHERS: Final[Callable[[str], str]] = cast("Any", BasicTextNormalizer)()


class WordErrors(Struct, frozen=True):
    """Of one recording."""

    errors: int
    words: int
    """In what was really said."""


def word_errors(clip: Clip, text: str) -> WordErrors:
    """Words that are wrong, missing or too many in the text of a recording."""
    normalise = _ENGLISH if clip.language == "en" else _OTHERS
    found = cast("Any", jiwer).process_words(normalise(clip.text or ""), normalise(text))
    wrong = found.substitutions + found.deletions
    return WordErrors(wrong + found.insertions, found.hits + wrong)


def wer_percent(clips: Sequence[Clip], texts: Sequence[str]) -> float:
    """Wrong words in a hundred, over all recordings together."""
    counts = [word_errors(clip, text) for clip, text in zip(clips, texts, strict=True)]
    return 100 * sum(count.errors for count in counts) / max(1, sum(count.words for count in counts))
