"""Which phonemes of a spoken sentence belong to which word of the text.

A phonemiser reads numbers and abbreviations out, runs small words together and changes vowels in context, so words
and phonemes do not pair off. Here each word is phonemised alone as well, and the two rows of phonemes are aligned at
least cost (Needleman and Wunsch 1970). The words a sentence says are those at the front of the remaining text that
fit it best.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

_WINDOW_FACTOR: Final = 1.5
_WINDOW_PHONEMES: Final = 20
"""How far ahead words are looked at: half as much again as the sentence has, and twenty phonemes."""


class PlacedWord(Struct, frozen=True):
    """A word of the text and its phonemes in the sentence that says it."""

    text: str
    text_start: int
    """Offset of its first character in the text."""
    text_end: int
    first: int
    """Index of its first phoneme in the sentence."""
    end: int
    """Index after its last phoneme; equal to ``first`` if it is not heard, such as a lone dash."""


class _Word(Struct, frozen=True):
    text: str
    text_start: int
    text_end: int
    phonemes: list[str]


class WordAligner:
    """Hands the words of a text out to its sentences, in order.

    Args:
        text: What is spoken.
        phonemise: The phonemes of a word alone, given its first offset in the text and the one after its last.
        spans: Where the words are, in order; else what stands between white space is a word.
    """

    def __init__(
        self,
        text: str,
        phonemise: Callable[[int, int], Sequence[str]],
        spans: Iterable[tuple[int, int]] | None = None,
    ) -> None:
        self._text = text
        self._spans = deque(spans if spans is not None else (match.span() for match in re.finditer(r"\S+", text)))
        self._phonemise = phonemise
        self._ahead: deque[_Word] = deque()
        """Words that were phonemised but not yet placed."""

    def place(self, sentence: Sequence[str], *, is_last: bool) -> list[PlacedWord]:
        """The words of the next sentence, given its phonemes; all that remain if it is the last."""
        indices = [index for index, phoneme in enumerate(sentence) if is_sound(phoneme)]
        self._look_ahead(None if is_last else int(len(indices) * _WINDOW_FACTOR) + _WINDOW_PHONEMES)
        ends = np.cumsum([0] + [len(word.phonemes) for word in self._ahead])
        written = np.array([phoneme for word in self._ahead for phoneme in word.phonemes], dtype=np.str_)
        costs = _costs(np.array([sentence[index] for index in indices], dtype=np.str_), written)
        count = len(self._ahead) if is_last else int(np.argmin(costs[-1, ends]))
        pairs = _pairs(costs, int(ends[count]))
        placed: list[PlacedWord] = []
        previous_end = indices[0] if indices else 0
        for number in range(count):
            word = self._ahead.popleft()
            heard = [indices[row] for row, column in pairs if ends[number] <= column < ends[number + 1]]
            first, end = (heard[0], heard[-1] + 1) if heard else (previous_end, previous_end)
            placed.append(PlacedWord(word.text, word.text_start, word.text_end, first, end))
            previous_end = end
        return placed

    def _look_ahead(self, phonemes: int | None) -> None:
        """Phonemise words until there are so many phonemes, or to the end of the text."""
        known = sum(len(word.phonemes) for word in self._ahead)
        while self._spans and (phonemes is None or known < phonemes):
            start, end = self._spans.popleft()
            sounds = [phoneme for phoneme in self._phonemise(start, end) if is_sound(phoneme)]
            self._ahead.append(_Word(self._text[start:end], start, end, sounds))
            known += len(sounds)


def is_sound(phoneme: str) -> bool:
    """Whether it is heard, or marks how: all but punctuation, separators and controls."""
    return unicodedata.category(phoneme[0])[0] not in "PZC"


def _costs(spoken: NDArray[np.str_], written: NDArray[np.str_]) -> NDArray[np.intp]:
    """``intp, (s + 1, w + 1)``: least edits that turn the first ``w`` written phonemes into the first ``s`` spoken."""
    columns = np.arange(len(written) + 1)
    costs = np.empty((len(spoken) + 1, len(written) + 1), dtype=np.intp)
    costs[0] = columns
    for row, phoneme in enumerate(spoken):
        best = costs[row] + 1
        best[1:] = np.minimum(best[1:], costs[row, :-1] + (written != phoneme))
        # Leaving out written phonemes costs one each, so the best way to a column is from any column to its left.
        costs[row + 1] = np.minimum.accumulate(best - columns) + columns
    return costs


def _pairs(costs: NDArray[np.intp], column: int) -> list[tuple[int, int]]:
    """Spoken and written phonemes, by index, that stand for each other on a cheapest way to the given column."""
    pairs: list[tuple[int, int]] = []
    row = costs.shape[0] - 1
    while row and column:
        cost = costs[row, column]
        if costs[row, column - 1] + 1 == cost:
            column -= 1
        elif costs[row - 1, column] + 1 == cost:
            row -= 1
        else:
            row, column = row - 1, column - 1
            pairs.append((row, column))
    return pairs[::-1]
