"""Estimates with intervals, by resampling whole conversations: what one of them holds is not independent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, cast

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 2_000
SEED: Final = 20

Vector = NDArray[np.float64]


class Estimate(Struct, frozen=True):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    """Observations."""


def estimate(
    values: Sequence[float] | Vector,
    blocks: Sequence[int] | NDArray[np.int64] | None = None,
    statistic: Callable[[Vector], float] = lambda sample: float(np.mean(sample)),
) -> Estimate | None:
    """A statistic with its percentile-bootstrap interval; ``None`` without observations.

    Args:
        values: Observations: ``(n,)``, or rows that belong together.
        blocks: Which block each belongs to; blocks are drawn whole. Left out: each is its own.
        statistic: Of a sample; the mean, and so a rate of zeros and ones, when left out.
    """
    sample = np.asarray(values, np.float64)
    if not len(sample):
        return None
    places = np.arange(len(sample))
    owner = places if blocks is None else np.asarray(blocks, np.int64)
    members: list[NDArray[np.int64]] = [places[owner == block] for block in dict.fromkeys(map(int, owner))]
    rng = np.random.default_rng(SEED)
    found = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        drawn = cast("list[int]", rng.integers(0, len(members), len(members)).tolist())
        found[number] = statistic(sample[np.concatenate([members[block] for block in drawn])])
    tail = (1 - CONFIDENCE) / 2
    low, high = float(np.quantile(found, tail)), float(np.quantile(found, 1 - tail))
    return Estimate(statistic(sample), low, high, len(sample))


def quantile(
    values: Sequence[float] | Vector, q: float, blocks: Sequence[int] | NDArray[np.int64] | None = None
) -> Estimate | None:
    """A quantile with its interval."""
    return estimate(values, blocks, lambda sample: float(np.quantile(sample, q)))
