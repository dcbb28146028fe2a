"""The phonemes of texts met before: words come back, and a phonemiser is called for one text at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final

from cachetools import LRUCache
from msgspec import Struct

_MAX_BYTES: Final = 4 * 1_024 * 1_024
"""About ten thousand words, or a thousand sentences."""
_ENTRY_BYTES: Final = 400
_CHARACTER_BYTES: Final = 4
_PHONEME_BYTES: Final = 8
"""What an entry, a character of its text and a phoneme of it weigh, about: single phonemes are shared strings."""

Sentences = tuple[tuple[str, ...], ...]
"""The phonemes of each sentence of a text."""


class _Entry(Struct, frozen=True):
    text: str
    sentences: Sentences


class PhonemeCache:
    """A phonemiser that remembers, within a bound in bytes. May be called from several threads at once.

    Args:
        phonemise: The phonemes of each sentence of a text; may be called from several threads at once.
        max_bytes: Of all it remembers.
    """

    def __init__(self, phonemise: Callable[[str], Sequence[Sequence[str]]], *, max_bytes: int = _MAX_BYTES) -> None:
        self._phonemise = phonemise
        self._max_bytes = max_bytes
        self._kept: LRUCache[str, _Entry] = LRUCache(max_bytes, getsizeof=_size_bytes)
        self._lock = Lock()

    def __call__(self, text: str) -> Sentences:
        """The phonemes of each sentence."""
        with self._lock:
            kept = self._kept.get(text)
        if kept is not None:
            return kept.sentences
        entry = _Entry(text, tuple(tuple(sentence) for sentence in self._phonemise(text)))
        if _size_bytes(entry) <= self._max_bytes:
            with self._lock:
                self._kept[text] = entry
        return entry.sentences

    @property
    def size_bytes(self) -> int:
        """What is kept weighs, about."""
        return int(self._kept.currsize)


def _size_bytes(entry: _Entry) -> int:
    phonemes = sum(map(len, entry.sentences))
    return _ENTRY_BYTES + _CHARACTER_BYTES * len(entry.text) + _PHONEME_BYTES * phonemes
