"""Estimates and their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import intervals


def test_the_same_measurements_give_the_same_interval() -> None:
    values = [float(one) for one in np.random.default_rng(1).normal(100, 10, 40)]
    assert intervals.median(values) == intervals.median(values)


def test_an_interval_holds_the_median_and_narrows_with_measurements() -> None:
    source = np.random.default_rng(2)
    few = intervals.median([float(one) for one in source.normal(100, 10, 10)])
    many = intervals.median([float(one) for one in source.normal(100, 10, 1000)])
    assert many.low < 100 < many.high
    assert many.high - many.low < few.high - few.low
    assert (few.n, many.n) == (10, 1000)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    source = np.random.default_rng(3)
    trials = 60
    held = 0
    for _ in range(trials):
        found = intervals.median([float(one) for one in source.normal(7, 1, 25)])
        held += found.low <= 7 <= found.high
    assert held >= 0.85 * trials


def test_what_disturbs_both_sides_of_a_pair_does_not_widen_their_ratio() -> None:
    source = np.random.default_rng(4)
    disturbance = source.uniform(1, 3, 40)
    theirs = [float(one) for one in 8 * disturbance]
    ours = [float(one) for one in 2 * disturbance]
    paired = intervals.ratio_of_medians(theirs, ours)
    assert paired.value == pytest.approx(4)
    assert paired.high - paired.low < 1e-9


def test_one_measurement_has_an_interval_of_no_width() -> None:
    assert intervals.median([3.0]).low == intervals.median([3.0]).high == 3.0


@pytest.mark.parametrize("sides", [([], []), ([1.0], [1.0, 2.0])])
def test_missing_measurements_are_an_error(sides: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="missing"):
        intervals.ratio_of_medians(*sides)


def test_rates_are_compared_over_all_items_together() -> None:
    found = intervals.difference_of_rates([2, 0, 1], [1, 0, 1], [10, 10, 80])
    assert found.value == pytest.approx(1.0)
    assert found.low >= 0


def test_a_slope_is_not_moved_by_a_few_outliers() -> None:
    x = list(range(30))
    y = [2.0 * one + 5 for one in x]
    y[7] = y[21] = 500
    found = intervals.slope(x, y)
    assert found.value == pytest.approx(2.0)
    assert found.low <= 2.0 <= found.high


def test_a_slope_needs_two_points() -> None:
    with pytest.raises(ValueError, match="two points"):
        intervals.slope([1.0], [1.0])


def test_the_median_difference_is_that_of_pairs() -> None:
    assert intervals.median_difference([5, 7, 9], [1, 2, 3]).value == 5
