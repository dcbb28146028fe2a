"""Whether a word's probability is the share of such words that are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from evals.asr.words import hits, normalised
from evals.intervals import Estimate, Vector, estimate
from evals.report import Plot, Series
from schemas.transcripts import Word

_BINS: Final = 10
_FEW: Final = 3
"""Words: a share of fewer is no point of a plot."""


class Belief(Struct, frozen=True):
    """A recognised word."""

    probability: float
    right: bool
    block: str


def beliefs(words: Sequence[Word], reference: str, language: str, block: str) -> list[Belief]:
    """The words of a hypothesis, each right or not; those that are nothing when normalised are left out."""
    tokens: list[str] = []
    owners: list[int] = []
    for place, word in enumerate(words):
        # Normalisation of English leaves some of an ellipsis.
        parts = [part for part in normalised(word.text, language).split() if any(map(str.isalnum, part))]
        tokens += parts
        owners += [place] * len(parts)
    right = hits(normalised(reference, language).split(), tokens)[1]
    wrong = {owner for token, owner in enumerate(owners) if token not in right}
    return [Belief(words[place].probability, place not in wrong, block) for place in dict.fromkeys(owners)]


def calibration_error(found: Sequence[Belief]) -> Estimate | None:
    """The expected calibration error, in ten bins of equal width (Guo et al. 2017): 0…1."""
    if not found:
        return None
    numbers = {block: number for number, block in enumerate(dict.fromkeys(one.block for one in found))}
    rows = np.array([[one.probability, one.right] for one in found], np.float64)
    return estimate(rows, [numbers[one.block] for one in found], _error)


def _error(rows: Vector) -> float:
    bins = np.minimum((rows[:, 0] * _BINS).astype(np.int64), _BINS - 1)
    gaps = np.bincount(bins, rows[:, 0] - rows[:, 1], minlength=_BINS)
    return float(np.abs(gaps).sum() / len(rows))


def reliability(found: Sequence[Belief]) -> Plot:
    """The reliability plot: what is said against what is so."""
    bins = np.minimum((np.array([one.probability for one in found]) * _BINS).astype(np.int64), _BINS - 1)
    x: list[float] = []
    y: list[float] = []
    for number in range(_BINS):
        members = [one for one, bin_ in zip(found, bins, strict=True) if bin_ == number]
        if len(members) >= _FEW:
            x.append(float(np.mean([one.probability for one in members])))
            y.append(float(np.mean([one.right for one in members])))
    return Plot(
        title="Calibration: how many words of a probability are right; on the dotted line, as many as it says",
        x_label="probability of a word",
        y_label="share that is right",
        series=(Series("words", tuple(x), tuple(y)),),
        style="line",
        diagonal=True,
        x_limit=1.0,
    )
