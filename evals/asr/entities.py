"""What matters most in a transcript, and is easily lost in a word error rate: numbers and names."""

from __future__ import annotations

import re

from msgspec import Struct

from evals.asr.words import hits, normalised
from evals.corpora.utterance import Utterance

_SENTENCE_END = re.compile(r"[.!?:;|]\W*$")
_NAMES_ARE_CAPITAL = frozenset({"en", "es", "fr", "pt", "it", "nl"})
"""Languages in which a capital letter within a sentence is that of a name; in German every noun has one."""
_CAPITAL_ANYWAY = frozenset({"i", "i'm", "i'll", "i've", "i'd"})


class Found(Struct, frozen=True):
    """How many there are, and how many were recognised rightly."""

    right: int
    of: int


def digits(reference: str, hypothesis: str, language: str) -> Found:
    """Numbers as they are written in normalised text."""
    said, heard = (normalised(text, language).split() for text in (reference, hypothesis))
    places = {place for place, word in enumerate(said) if any(character.isdigit() for character in word)}
    return Found(len(places & hits(said, heard)[0]), len(places))


def names(utterance: Utterance, hypothesis: str) -> Found:
    """Those that the corpus names; if it names none, the words with a capital letter within a sentence."""
    wanted = utterance.entities or _capitalised(utterance.text or "", utterance.language)
    heard = f" {normalised(hypothesis, utterance.language)} "
    keys = [key for name in wanted if (key := normalised(name, utterance.language))]
    return Found(sum(f" {key} " in heard for key in keys), len(keys))


def _capitalised(text: str, language: str) -> list[str]:
    if language not in _NAMES_ARE_CAPITAL or text in {text.upper(), text.lower()}:
        return []
    found: list[str] = []
    begins = True
    for word in text.split():
        bare = word.strip(".,!?:;|\"'()“”‘’").removesuffix("'s").removesuffix("’s")
        if not begins and bare[:1].isupper() and bare.lower() not in _CAPITAL_ANYWAY:
            found.append(bare)
        begins = _SENTENCE_END.search(word) is not None
    return found
