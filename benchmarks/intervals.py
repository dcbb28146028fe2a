"""Estimates with intervals, by resampling: nothing here assumes a distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.report import Estimate

_stats = cast("Any", stats)  # SciPy has no types

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 5_000
SEED: Final = 20
"""So that the same measurements give the same intervals."""

Vector = NDArray[np.float64]


def quantile(values: Sequence[float], q: float) -> Estimate:
    """The ``q`` quantile, with a percentile-bootstrap interval.

    Raises:
        ValueError: There are no values.
    """

    def statistic(sample: Vector, axis: int) -> Vector:
        return np.asarray(np.quantile(sample, q, axis=axis))

    return _bootstrapped((np.asarray(values, np.float64),), statistic)


def median(values: Sequence[float]) -> Estimate:
    """The median, with its interval. Raises ``ValueError`` without values."""
    return quantile(values, 0.5)


def ratio_of_medians(numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """The median of one side over that of the other, of measurements taken in pairs.

    Pairs are resampled whole, so that what disturbed both sides of a pair does not widen the interval.

    Raises:
        ValueError: There are no pairs, or a side lacks a measurement.
    """

    def statistic(upper: Vector, lower: Vector, axis: int) -> Vector:
        return np.asarray(np.median(upper, axis=axis) / np.median(lower, axis=axis))

    return _bootstrapped((np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)), statistic)


def median_difference(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """The median of ``first - second``, pair by pair. Raises ``ValueError`` as :func:`ratio_of_medians`."""
    return median([a - b for a, b in zip(first, second, strict=True)])


def difference_of_rates(errors: Sequence[int], base_errors: Sequence[int], units: Sequence[int]) -> Estimate:
    """How many more errors in a hundred units one side makes, over items that both did; items are resampled.

    For word error rates: errors and words of each recording. Raises ``ValueError`` without items.
    """

    def statistic(more: Vector, words: Vector, axis: int) -> Vector:
        return np.asarray(100 * np.sum(more, axis=axis) / np.sum(words, axis=axis))

    more = np.asarray(errors, np.float64) - np.asarray(base_errors, np.float64)
    return _bootstrapped((more, np.asarray(units, np.float64)), statistic)


def slope(x: Sequence[float], y: Sequence[float]) -> Estimate:
    """How ``y`` grows with ``x``: Theil and Sen's slope, which a few outliers do not move.

    Raises:
        ValueError: There are fewer than two points.
    """
    if len(x) < 2:  # noqa: PLR2004  a line has two points
        raise ValueError("a slope needs two points")
    found = _stats.theilslopes(y, x, alpha=CONFIDENCE)
    return Estimate(float(found.slope), float(found.low_slope), float(found.high_slope), len(x))


def _bootstrapped(samples: tuple[Vector, ...], statistic: Any) -> Estimate:  # noqa: ANN401  of one array or two
    n = len(samples[0])
    if n == 0 or any(len(sample) != n for sample in samples):
        raise ValueError("measurements are missing")
    value = float(statistic(*samples, axis=0))
    if n == 1:
        return Estimate(value, value, value, 1)
    found = _stats.bootstrap(
        samples,
        statistic,
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(SEED),
    )
    interval = found.confidence_interval
    return Estimate(value, float(interval.low), float(interval.high), n)
