"""Texts compared word by word, as people would: case, punctuation and typography do not count."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_APOSTROPHES: Final = str.maketrans("’ʼ`", "'''")
_WORD: Final = re.compile(r"\w+(?:'\w+)*")


def words_of(text: str) -> tuple[str, ...]:
    """The words, in lower case and without punctuation."""
    plain = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold()
    return tuple(_WORD.findall(plain))


def word_errors(expected: str, actual: str) -> int:
    """Words to substitute, insert or delete to get from one text to the other (the Levenshtein distance)."""
    target = words_of(actual)
    row = list(range(len(target) + 1))
    for count, word in enumerate(words_of(expected), start=1):
        diagonal, row[0] = row[0], count
        for column, other in enumerate(target, start=1):
            diagonal, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, diagonal + (word != other)),
            )
    return row[-1]


def says(expected: str, actual: str) -> bool:
    """Whether a transcript is right: one word in ten may differ, as ears do; one always."""
    return word_errors(expected, actual) <= max(1, len(words_of(expected)) // 10)
