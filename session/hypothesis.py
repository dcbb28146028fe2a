"""Words of a transcript that is still growing: which of them will stay.

LocalAgreement-2 (Liu, Spanakis and Niehues 2020; for Whisper: Macháček, Dabre and Bojar 2023): the audio so far is
recognised again and again, and the words with which two hypotheses in a row begin are *committed*. Committed words
never change; those behind them, the tail, are replaced by each hypothesis.

Recognising the whole turn again would cost more and more. So once the audio is longer than :data:`WINDOW_S`, what lies
before the last committed word is left out, and its text primes the recogniser instead.

Times are seconds on the clock of the caller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

WINDOW_S: Final = 8.0
"""Whisper's shortest window that works is 10 s, of which 2 s are silence (engines/whisper_window.py): up to here more
audio costs nothing."""
MAX_WINDOW_S: Final = 2 * WINDOW_S
"""Words that have been undecided for so long are committed as they are: the bound of what a hypothesis costs."""
DRIFT_S: Final = 0.5
"""How far the same word may be from where the hypothesis before had it."""
PROMPT_CHARS: Final = 200
"""Text before the window that primes recognition: a sentence or two."""


class HypothesisWord(Struct, frozen=True):
    """A word as the recogniser wrote it."""

    text: str
    """With the space before it, where its language has one."""
    start_s: float
    end_s: float

    @property
    def key(self) -> str:
        """What makes it the same word: neither case nor punctuation, which change with what follows."""
        return word_key(self.text)


def word_key(text: str) -> str:
    """A word without case and punctuation."""
    return "".join(filter(str.isalnum, text)).casefold() or text.strip()


class LocalAgreement:
    """The words of one turn.

    Args:
        start_s: Where its audio begins.
    """

    def __init__(self, start_s: float) -> None:
        self.start_s = start_s
        """Where the audio of the next hypothesis is to begin."""
        self.emitted_words = 0
        """Words that were in a tail, or committed, and were not there before."""
        self.revised_words = 0
        """Words that were in a tail and then were not."""
        self._committed: list[HypothesisWord] = []
        self._tail: list[HypothesisWord] = []

    @property
    def committed(self) -> tuple[HypothesisWord, ...]:
        """Words that stay, in order. What is returned later begins with what was returned before."""
        return tuple(self._committed)

    @property
    def stable_text(self) -> str:
        """The committed words."""
        return _text(self._committed)

    @property
    def text(self) -> str:
        """The committed words and the tail."""
        return _text([*self._committed, *self._tail])

    @property
    def stability(self) -> float:
        """Share of the words that stay, 0 to 1; 0 without words."""
        return len(self._committed) / max(1, len(self._committed) + len(self._tail))

    def kept_by(self, words: Sequence[str]) -> float:
        """Share of the words that another text of the same audio has too; 1 without words."""
        known = Counter(word.key for word in (*self._committed, *self._tail))
        kept = known & Counter(word_key(word) for word in words)
        return kept.total() / known.total() if known else 1.0

    @property
    def prompt(self) -> str:
        """The end of the text whose audio is not recognised again."""
        before = _text([word for word in self._committed if word.end_s <= self.start_s])
        return before if len(before) <= PROMPT_CHARS else before[-PROMPT_CHARS:].partition(" ")[2]

    def insert(self, words: Sequence[HypothesisWord], end_s: float) -> None:
        """Take a hypothesis about the audio from :attr:`start_s` to ``end_s``."""
        fresh = self._behind_committed(words)
        alike = _alike(self._tail, fresh)
        self.emitted_words += len(fresh) - alike
        self.revised_words += len(self._tail) - alike
        overdue = sum(word.end_s <= end_s - MAX_WINDOW_S for word in fresh)
        settled = max(alike, overdue)
        self._committed += fresh[:settled]
        self._tail = fresh[settled:]
        if end_s - self.start_s > WINDOW_S:
            last_s = self._committed[-1].start_s if self._committed else self.start_s
            self.start_s = max(self.start_s, last_s, end_s - MAX_WINDOW_S)

    def _behind_committed(self, words: Sequence[HypothesisWord]) -> list[HypothesisWord]:
        """The words after the last one committed, which the window still holds.

        It is found by its text near its place, or else by its place alone.
        """
        if not self._committed:
            return list(words)
        last = self._committed[-1]
        same = [
            (abs(word.end_s - last.end_s), number)
            for number, word in enumerate(words, start=1)
            if word.key == last.key and abs(word.end_s - last.end_s) <= DRIFT_S
        ]
        if same:
            return list(words[min(same)[1] :])
        return [word for word in words if (word.start_s + word.end_s) / 2 > last.end_s]


def _alike(old: Sequence[HypothesisWord], new: Sequence[HypothesisWord]) -> int:
    """How many words both begin with."""
    for number, (one, other) in enumerate(zip(old, new, strict=False)):
        if one.key != other.key:
            return number
    return min(len(old), len(new))


def _text(words: Sequence[HypothesisWord]) -> str:
    return "".join(word.text for word in words).strip()
