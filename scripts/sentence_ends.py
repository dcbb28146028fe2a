"""Writes session/sentence_ends.json: how likely an English sentence ends after two words.

From the language model of PocketSphinx (en-us, three-grams of 72,000 words; Carnegie Mellon University, BSD-2-Clause),
which nothing else here needs:

    python -m venv /tmp/sphinx && /tmp/sphinx/bin/pip install pocketsphinx==5.1.1
    /tmp/sphinx/bin/python scripts/sentence_ends.py

Kept are the most frequent words, and those pairs that tell most beside their second word: the likelier a pair, and the
more it differs, the more.
"""

from __future__ import annotations

import heapq
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pocketsphinx  # pyright: ignore[reportMissingImports]

OUT: Final = Path(__file__).resolve().parent.parent / "session" / "sentence_ends.json"
WORDS: Final = 10_000
PAIRED: Final = 4_000
"""The most frequent words, of which all pairs are looked at."""
PAIRS: Final = 20_000
BEGIN: Final = "<s>"
END: Final = "</s>"
TELLS: Final = 0.3
"""A pair that differs less from its second word is not looked at."""
USUAL: Final = -2.5
"""Natural logarithm of how likely sentences end after a word, for the middle one of frequent words."""
LEAST: Final = -7.0
TENTHS: Final = 10


class Model:
    """Natural logarithms of probabilities; words in reverse, the newest first."""

    def __init__(self) -> None:
        sphinx: Any = pocketsphinx
        self._scale: Any = sphinx.LogMath()
        self._grams: Any = sphinx.NGramModel.readfile(sphinx.get_model_path("en-us/en-us.lm.bin"))

    def log(self, *words: str) -> float:
        """Of the first after the others."""
        return float(self._scale.log_to_ln(self._grams.prob(list(words))))


def vocabulary() -> list[str]:
    """Every word of the pronouncing dictionary that comes with the model, and is written as people write."""
    sphinx: Any = pocketsphinx
    lines = Path(sphinx.get_model_path("en-us/cmudict-en-us.dict")).read_text("utf-8").splitlines()
    return sorted({word for line in lines if re.fullmatch(r"[a-z][a-z']*", word := line.split(" ", 1)[0])})


def telling_pairs(model: Model, words: list[str]) -> Iterator[tuple[float, str, float]]:
    """How much each pair tells, the pair, and how likely sentences end after it."""
    alone = {word: model.log(END, word) for word in words}
    for before in (BEGIN, *words):
        frequency = 0.0 if before == BEGIN else model.log(before)
        for word in words:
            ends = model.log(END, word, before)
            if abs(differs := ends - alone[word]) > TELLS:
                yield math.exp(frequency + model.log(word, before)) * abs(differs), f"{before} {word}", ends


def tenths(log: float) -> int:
    """As it is kept."""
    return round(TENTHS * (max(log, LEAST) - USUAL))


def main() -> None:
    """Ask the model, and write the file."""
    model = Model()
    words = sorted(vocabulary(), key=model.log, reverse=True)[:WORDS]
    pairs = heapq.nlargest(PAIRS, telling_pairs(model, words[:PAIRED]))
    found = {
        "words": {word: tenths(model.log(END, word)) for word in sorted(words)},
        "pairs": {pair: tenths(ends) for _, pair, ends in sorted(pairs, key=lambda one: one[1])},
    }
    OUT.write_text(json.dumps({"en": found}, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    main()
