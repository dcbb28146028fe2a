"""Estimates with intervals, by resampling whole blocks: what one conversation or speaker gives is not independent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 2_000
"""Of any statistic; those that are sums are drawn ``PAIRED_RESAMPLES`` times."""
PAIRED_RESAMPLES: Final = 10_000
SEED: Final = 20
POWER_Z: Final = 1.96 + 0.84
"""Standard errors that a change must have to be found, two-sided at 95 %, four times in five."""
FEW_BLOCKS: Final = 10
"""With fewer, percentile intervals are too narrow: what comes of drawing them again is not what others would say."""
_LEAST_BLOCKS: Final = 2
_AT_ONCE: Final = 500
"""Resamples in memory."""

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Blocks = Sequence[int] | Sequence[str]


class Estimate(Struct, frozen=True):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    """Observations."""
    blocks: int = 0
    """Independent ones, that were drawn; 0 of what was counted, which needs no drawing."""

    @property
    def is_unsure(self) -> bool:
        """Whether nothing is known of how much it varies: one block has no interval, whatever ``low`` and ``high``."""
        return 0 < self.blocks < _LEAST_BLOCKS

    @property
    def is_rough(self) -> bool:
        """Whether its interval is of few blocks."""
        return 0 < self.blocks < FEW_BLOCKS


class Change(Struct, frozen=True, kw_only=True):
    """How a figure differs between two runs over the same samples: the second less the first."""

    base: float
    value: float
    """Of the second run."""
    change: Estimate
    """Of the difference, in the figure's unit."""
    detectable: float | None
    """The smallest difference that samples like these would have shown, four times in five; ``None`` of one block."""


def _mean(sample: Vector) -> float:
    return float(np.mean(sample))


def exactly(k: int, n: int) -> Estimate | None:
    """A share, with the interval of Clopper and Pearson: nothing in so many is not never."""
    if not n:
        return None
    found = cast("Any", stats).binomtest(k, n).proportion_ci(CONFIDENCE, "exact")
    return Estimate(k / n, float(found.low), float(found.high), n)


def estimate(
    values: Sequence[float] | Vector,
    blocks: Sequence[int] | NDArray[np.int64] | None = None,
    statistic: Callable[[Vector], float] = _mean,
) -> Estimate | None:
    """A statistic with its percentile-bootstrap interval; ``None`` without observations.

    Of a share that is all or nothing, drawing again says nothing: its interval is the exact one, of the blocks.

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
    if statistic is _mean and (sample.max() == 0 or sample.min() == sample.max() == 1):
        return _one_sided(float(sample[0]), len(sample), len(members))
    rng = np.random.default_rng(SEED)
    found = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        drawn = cast("list[int]", rng.integers(0, len(members), len(members)).tolist())
        found[number] = statistic(sample[np.concatenate([members[block] for block in drawn])])
    low, high = _tails(found)
    return Estimate(statistic(sample), low, high, len(sample), len(members))


def _one_sided(share: float, n: int, blocks: int) -> Estimate | None:
    found = exactly(round(share * blocks), blocks)
    return found and replace(found, n=n, blocks=blocks)


def quantile(
    values: Sequence[float] | Vector, q: float, blocks: Sequence[int] | NDArray[np.int64] | None = None
) -> Estimate | None:
    """A quantile with its interval."""
    return estimate(values, blocks, lambda sample: float(np.quantile(sample, q)))


def ratio(parts: Sequence[float], wholes: Sequence[float], blocks: Blocks) -> Estimate | None:
    """A ratio of sums, such as a word error rate, with its interval; ``None`` if the wholes are nothing.

    Args:
        parts: Wrong words, say, of each sample.
        wholes: Its words.
        blocks: Which block each belongs to.
    """
    sums = _block_sums(np.array([parts, wholes], np.float64), blocks)
    if not sums[1].sum() > 0:
        return None
    found = np.concatenate([_divided(*(weights @ sums.T).T) for weights in _draws(sums.shape[1])])
    low, high = _tails(found)
    counted, blocks_counted = int(np.count_nonzero(wholes)), int(np.count_nonzero(sums[1]))
    return Estimate(float(sums[0].sum() / sums[1].sum()), low, high, counted, blocks_counted)


def ratio_change(
    base: tuple[Sequence[float], Sequence[float]], other: tuple[Sequence[float], Sequence[float]], blocks: Blocks
) -> Change | None:
    """The change of a ratio of sums, over samples that both runs have: both sides of a pair are drawn together.

    Args:
        base: Parts and wholes of the first run, sample by sample.
        other: Those of the second, in the same order.
        blocks: Which block each sample belongs to.
    """
    sums = _block_sums(np.array([*base, *other], np.float64), blocks)
    totals = sums.sum(axis=1)
    if not (totals[1] > 0 and totals[3] > 0):
        return None

    def differences(weights: Matrix) -> Vector:
        first, first_whole, second, second_whole = (weights @ sums.T).T
        return _divided(second, second_whole) - _divided(first, first_whole)

    drawn = np.concatenate([differences(weights) for weights in _draws(sums.shape[1])])
    base_ratio, other_ratio = float(totals[0] / totals[1]), float(totals[2] / totals[3])
    return _change(base_ratio, other_ratio, drawn, len(base[0]), int(np.count_nonzero(sums[1])))


def ratio_change_apart(
    base: tuple[Sequence[float], Sequence[float]], other: tuple[Sequence[float], Sequence[float]]
) -> Change | None:
    """The change of a ratio of sums, over samples that have nothing to do with each other: each side is drawn alone.

    Args:
        base: Parts and wholes of the first run, sample by sample.
        other: Those of the second, of which there may be more or fewer.
    """
    found = [ratio(*side, range(len(side[0]))) for side in (base, other)]
    if found[0] is None or found[1] is None:
        return None
    drawn: list[Vector] = []
    for seed, side in enumerate((base, other), SEED):
        sums = np.array(side, np.float64)
        drawn.append(np.concatenate([_divided(*(weights @ sums.T).T) for weights in _draws(sums.shape[1], seed)]))
    blocks = min(found[0].blocks, found[1].blocks)
    return _change(found[0].value, found[1].value, drawn[1] - drawn[0], min(found[0].n, found[1].n), blocks)


def quantile_change(base: Sequence[float], other: Sequence[float], blocks: Blocks, q: float) -> Change | None:
    """The change of a quantile, over samples that both runs have.

    Args:
        base: Values of the first run.
        other: Those of the second, in the same order.
        blocks: Which block each sample belongs to.
        q: 0…1.
    """
    if not len(base):
        return None
    owner = _numbered(blocks)
    sides = [np.asarray(side, np.float64) for side in (base, other)]
    orders = [np.argsort(side, kind="stable") for side in sides]

    def differences(weights: Matrix) -> Vector:
        first, second = (
            _weighted_quantile(side[order], weights[:, owner[order]], q)
            for side, order in zip(sides, orders, strict=True)
        )
        return second - first

    there = int(owner.max()) + 1
    drawn = np.concatenate([differences(weights) for weights in _draws(there)])
    return _change(float(np.quantile(sides[0], q)), float(np.quantile(sides[1], q)), drawn, len(base), there)


def _change(base: float, value: float, drawn: Vector, n: int, blocks: int) -> Change:
    low, high = _tails(drawn)
    found = Estimate(value - base, low, high, n, blocks)
    detectable = None if found.is_unsure else POWER_Z * float(np.nanstd(drawn))
    return Change(base=base, value=value, change=found, detectable=detectable)


def _draws(blocks: int, seed: int = SEED) -> Iterator[Matrix]:
    """How often each block is drawn, in one resample a row."""
    rng = np.random.default_rng(seed)
    for _ in range(0, PAIRED_RESAMPLES, _AT_ONCE):
        yield rng.multinomial(blocks, np.full(blocks, 1 / blocks), _AT_ONCE).astype(np.float64)


def _block_sums(rows: Matrix, blocks: Blocks) -> Matrix:
    owner = _numbered(blocks)
    blocks_there = int(owner.max(initial=-1)) + 1
    return np.array([np.bincount(owner, row, minlength=blocks_there) for row in rows], np.float64)


def _numbered(blocks: Blocks) -> NDArray[np.int64]:
    numbers = {block: number for number, block in enumerate(dict.fromkeys(blocks))}
    return np.array([numbers[block] for block in blocks], np.int64)


def _divided(parts: Vector, wholes: Vector) -> Vector:
    """Not a number where a resample has nothing to divide by."""
    return np.divide(parts, wholes, out=np.full_like(parts, np.nan), where=wholes > 0)


def _weighted_quantile(values: Vector, weights: Matrix, q: float) -> Vector:
    """Of ascending values, for each row of weights: the first at which the share is reached."""
    reached = np.cumsum(weights, axis=1)
    return values[np.argmax(reached >= np.maximum(q * reached[:, -1:], 1e-9), axis=1)]


def _tails(drawn: Vector) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    return float(np.nanquantile(drawn, tail)), float(np.nanquantile(drawn, 1 - tail))
