"""How likely a sentence ends after its last two words.

“I take two different” goes on, whatever it sounds like and though a recogniser ends it with a full stop; “next month”
may be all. Counts of a large collection of English know that: ``sentence_ends.json``, by ``scripts/sentence_ends.py``.
Of other languages nothing is known here.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

from msgspec import Struct, json

_BEGIN: Final = "<s>"
_TENTHS: Final = 10


class _Ends(Struct, frozen=True, forbid_unknown_fields=True):
    """In tenths of the natural logarithm, over what is usual."""

    words: dict[str, int]
    pairs: dict[str, int]


def sentence_end(words: tuple[str, ...], language: str | None) -> float:
    """How much likelier than usual a sentence ends after these words, as natural logarithm; 0 where nothing is known.

    Args:
        words: In small letters.
        language: ISO 639-1.
    """
    known = _known().get(language or "")
    if known is None or not words:
        return 0.0
    before, last = [_BEGIN, *words][-2:]
    found = known.pairs.get(f"{before} {last}")
    return (known.words.get(last, 0) if found is None else found) / _TENTHS


@cache
def _known() -> dict[str, _Ends]:
    return json.decode(resources.files("session").joinpath("sentence_ends.json").read_bytes(), type=dict[str, _Ends])
