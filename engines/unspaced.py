"""Texts of scripts that put no space between words: read by the libraries of their languages, word by word."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from engines.base import Pronunciation
from engines.text.mapped import UNSPACED

_SIGNS: Final = ';:,.!?—…"()“”'
"""The punctuation that voices learnt to speak by."""
_NARROW: Final = str.maketrans(
    {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    | dict(zip("、。〈〉《》「」『』【】«»～〜·・", ",.“”“”“”“”“”“”——  ", strict=True))
)
"""Wide signs, letters and digits, and the narrow ones for them: one for one, so that offsets stay."""
_GAP: Final = re.compile(r"(?P<behind>.*?)\s*(?P<before>[“‘「『（《〈【(\[{]*)", re.DOTALL)
"""What stands between two words: signs of the one before, and what opens the one behind."""
_WIDE: Final = re.compile(f"[{UNSPACED}]")


class Reading(Struct, frozen=True):
    """A word of a text, and how it is said."""

    start: int
    """Offset of its first character."""
    end: int
    """Offset after its last character."""
    symbols: str
    """Phonemes; with punctuation once the text is whole (:func:`read`)."""


Reader = Callable[[str], Sequence[Reading]]
"""The words of a text that have a sound, in order, without punctuation. Called from one thread at a time."""


def narrow(text: str) -> str:
    """The text in ASCII letters, digits and signs where it has wide ones. As long as it was."""
    return text.translate(_NARROW)


def read(text: str, reader: Reader, pronunciations: Iterable[Pronunciation] = ()) -> list[Reading]:
    """The words of a text with the punctuation around them; they cover all that is not white space.

    Args:
        text: What is spoken.
        reader: Of its language.
        pronunciations: For what is said otherwise, in order: symbols instead of IPA.
    """
    words: list[Reading] = []
    done = 0
    for one in (*pronunciations, Pronunciation(len(text), len(text), "")):
        words += (
            replace(word, start=word.start + done, end=word.end + done) for word in reader(text[done : one.start])
        )
        if one.ipa:
            words.append(Reading(one.start, one.end, one.ipa))
        done = one.end
    return _joined(text, _with_signs(text, words))


def _with_signs(text: str, words: Sequence[Reading]) -> list[Reading]:
    found: list[Reading] = []
    for word in words:
        gap_start = found[-1].end if found else 0
        gap = _GAP.fullmatch(text, gap_start, word.start)
        behind_end, before_start = (gap.end("behind"), gap.start("before")) if gap and found else (gap_start, gap_start)
        if found:
            found[-1] = _wider(found[-1], text, found[-1].start, behind_end)
        while before_start < word.start and text[before_start].isspace():
            before_start += 1
        found.append(_wider(word, text, before_start, word.end))
    if found:
        found[-1] = _wider(found[-1], text, found[-1].start, len(text.rstrip()))
    return found


def _wider(word: Reading, text: str, start: int, end: int) -> Reading:
    """The word with the signs on either side of it."""
    before, behind = _signs(text[start : word.start]), _signs(text[word.end : end])
    return Reading(start, max(end, word.end), before + word.symbols + behind)


def _signs(text: str) -> str:
    return "".join(sign for sign in narrow(text) if sign in _SIGNS)


def _joined(text: str, words: Iterable[Reading]) -> list[Reading]:
    """Words together that the text does not part: neither by white space nor by a script that needs none."""
    found: list[Reading] = []
    for word in words:
        if found and found[-1].end == word.start and not _WIDE.search(text, word.start - 1, word.start + 1):
            last = found.pop()
            found.append(Reading(last.start, word.end, f"{last.symbols} {word.symbols}"))
        else:
            found.append(word)
    return found
