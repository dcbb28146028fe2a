"""How likely a sentence ends after its last two words.

“We ordered a large” goes on, whatever it sounds like and though a recogniser ends it with a full stop; “a large pizza”
may be all. Counts of a large collection of English know that: ``sentence_ends.json``, by ``scripts/sentence_ends.py``.
Of other languages nothing is known here.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

from msgspec import Struct, json

_BEGIN: Final = "<s>"
_TENTHS: Final = 10
_WORD: Final = re.compile(r"[a-z][a-z']*")
_SENTENCES: Final = re.compile(r"[.?!]\s+")
_CLOSING: Final = ".?!… \n\"'”"


class _Ends(Struct, frozen=True, forbid_unknown_fields=True):
    """In tenths of the natural logarithm, over what is usual."""

    words: dict[str, int]
    pairs: dict[str, int]


_KNOWN: Final = json.decode(
    resources.files("session").joinpath("sentence_ends.json").read_bytes(), type=dict[str, _Ends]
)


def sentence_end(text: str, language: str | None) -> float:
    """How much likelier than usual a sentence ends after this, as natural logarithm; 0 where nothing is known.

    Args:
        text: Up to now. Its last sentence counts.
        language: ISO 639-1, with a region or without.
    """
    known = _KNOWN.get((language or "").partition("-")[0].casefold())
    words = _WORD.findall(_SENTENCES.split(text.casefold().replace("’", "'").rstrip(_CLOSING))[-1])
    if known is None or not words:
        return 0.0
    before, last = [_BEGIN, *words][-2:]
    found = known.pairs.get(f"{before} {last}")
    return (known.words.get(last, 0) if found is None else found) / _TENTHS
