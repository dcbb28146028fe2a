"""Phonemes by espeak-ng, as piper-tts brings it. Both are GPL-3.0: imported only when a voice is loaded."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

from engines.base import Pronunciation
from schemas.errors import ErrorCode, SpeechError

_UNSPEAKABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]|\[\[|\]\]")
"""What espeak-ng cannot take, and the brackets by which Piper would take text for phonemes."""
_VOWELS: Final = "aeiouyæɐɑɒɔəɘɚɛɜɝɞɤɨɪɯɵøœɶʉʊʌʏᵻ"
_STRESSED_SYLLABLE: Final = re.compile(rf"([ˈˌ])([^ˈˌ\s.{_VOWELS}]+)(?=[{_VOWELS}])")
"""A mark of stress, and the consonants up to the vowel."""


def import_piper() -> Any:  # noqa: ANN401 (a module; piper's own types are used where they matter)
    """The package.

    Raises:
        SpeechError: ``missing_extra``.
    """
    try:
        import piper  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        raise SpeechError(
            ErrorCode.MISSING_EXTRA, "This voice needs piper-tts. Run: pip install 'antiphon[piper]'"
        ) from None
    return piper


class Espeak:
    """A phonemiser of one language. May be called from several threads at once: piper-tts holds a lock.

    Args:
        voice: espeak-ng's name for the language, as in ``en-us``.

    Raises:
        SpeechError: ``missing_extra``.
    """

    def __init__(self, voice: str) -> None:
        piper = import_piper()
        config = {
            "num_symbols": 1,
            "num_speakers": 1,
            "audio": {"sample_rate": 1},
            "espeak": {"voice": voice},
            "phoneme_type": "espeak",
            "phoneme_id_map": {},
            "inference": {},
        }
        # It is asked for phonemes only, and has no network to ask for more.
        self._piper: Any = piper.PiperVoice(None, piper.PiperConfig.from_dict(config))

    def __call__(self, text: str) -> list[list[str]]:
        """The phonemes of each sentence of a text, which may have some in double brackets (:func:`marked`)."""
        return self._piper.phonemize(text)


def marked(text: str, pronunciations: Sequence[Pronunciation], start: int, end: int) -> str:
    """A stretch of text as Piper takes it: with phonemes, in double brackets, for what begins in it and has some."""
    pieces: list[str] = []
    place = start
    for one in pronunciations:
        if one.end <= place or one.start >= end:
            continue
        pieces.append(speakable(text[place : max(place, one.start)]))
        if one.start >= start:
            pieces.append(f"[[{_as_espeak(one.ipa)}]]")
        place = min(one.end, end)
    pieces.append(speakable(text[place:end]))
    return "".join(pieces)


def speakable(text: str) -> str:
    """A text without what espeak-ng and Piper would take for something else."""
    return _UNSPEAKABLE.sub(" ", text)


def decomposed(ipa: str) -> str:
    """Accents as symbols of their own, as Piper has them."""
    return unicodedata.normalize("NFD", ipa.strip())


def _as_espeak(ipa: str) -> str:
    """IPA marks the stressed syllable, espeak-ng its vowel, and voices learnt to speak from espeak-ng.

    With the mark where IPA has it, bəˈnænəz was understood 8 times of 15; before its vowel, 15 times.
    """
    return _STRESSED_SYLLABLE.sub(r"\2\1", decomposed(ipa))
