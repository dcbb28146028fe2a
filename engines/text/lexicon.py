"""Pronunciations that a caller gives for words."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from engines.text.mapped import UNSPACED, Edit
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import LexiconEntry

_IPA: Final = re.compile(
    "[a-zæçðøħŋœǀ-ǃɐ-ʯβθχᵻⱱ"  # letters of the chart, and ᵻ of English dictionaries
    "ʰʱʲʷʼˈˌːˑ˞ˠˤⁿˡ‿|‖.\u0300-\u036f˥-˩ ]+"  # diacritics, stress, length, tone, boundaries
)
"""The chart of the International Phonetic Association of 2020, whose letters are lower case."""
_LETTER: Final = rf"[^\W{UNSPACED}]"
"""What makes a word longer if it stands beside it: not in scripts without spaces."""


class Lexicon:
    """Finds the words of a lexicon in texts.

    Args:
        entries: Longer phrases go before shorter ones, then the first.

    Raises:
        SpeechError: ``invalid_request`` for an entry with both or neither of ``say`` and ``ipa``, for words without a
            letter, and for a pronunciation that is not IPA.
    """

    def __init__(self, entries: tuple[LexiconEntry, ...]) -> None:
        for entry in entries:
            _check(entry)
        ordered = sorted(entries, key=lambda entry: -len(entry.word))
        self._exact: dict[str, LexiconEntry] = {}
        self._folded: dict[str, LexiconEntry] = {}
        for entry in ordered:
            word = " ".join(entry.word.split())
            if entry.match_case:
                self._exact.setdefault(word, entry)
            else:
                self._folded.setdefault(word.casefold(), entry)
        alternatives = (r"\s+".join(map(re.escape, entry.word.split())) for entry in ordered)
        words = "|".join(alternatives)
        self._pattern = re.compile(rf"(?<!{_LETTER})(?:{words})(?!{_LETTER})", re.IGNORECASE) if entries else None

    def edits(self, text: str) -> list[Edit]:
        """How the words of the lexicon in a text are to be said."""
        found: list[Edit] = []
        for match in self._pattern.finditer(text) if self._pattern is not None else ():
            words = " ".join(match[0].split())
            entry = self._exact.get(words) or self._folded.get(words.casefold())
            if entry is not None:
                found.append(Edit(match.start(), match.end(), entry.say or match[0], entry.ipa))
        return found


@lru_cache(maxsize=64)
def lexicon(entries: tuple[LexiconEntry, ...]) -> Lexicon:
    """The lexicon of these entries. A session has the same for all that it says.

    Raises:
        SpeechError: As :class:`Lexicon`.
    """
    return Lexicon(entries)


def check_ipa(ipa: str, param: str) -> None:
    """See to it that a pronunciation is written in IPA.

    Raises:
        SpeechError: ``invalid_request`` if not.
    """
    strange = sorted(set(_IPA.sub("", ipa)))
    if strange or not any(unicodedata.category(char) in {"Ll", "Lo"} for char in ipa):
        signs = f"has {' '.join(strange[:10])}, which is not IPA" if strange else "has no sound"
        raise SpeechError(
            ErrorCode.INVALID_REQUEST,
            f"The pronunciation {ipa[:64]!r} {signs}. Write it without slashes or brackets, as in həˈloʊ.",
            param=param,
        )


def _check(entry: LexiconEntry) -> None:
    if (entry.say is None) == (entry.ipa is None):
        raise _wrong(entry, "takes either say or ipa")
    if not any(char.isalnum() for char in entry.word):
        raise _wrong(entry, "has no letter or digit in its word")
    if entry.say is not None and not any(char.isalnum() for char in entry.say):
        raise _wrong(entry, "has nothing to say")
    if entry.ipa is not None:
        check_ipa(entry.ipa, "lexicon")


def _wrong(entry: LexiconEntry, what: str) -> SpeechError:
    return SpeechError(ErrorCode.INVALID_REQUEST, f"The lexicon entry for {entry.word[:64]!r} {what}.", param="lexicon")
