import numpy as np
import pytest

from evals.intervals import estimate, quantile


def test_nothing_measured_is_no_estimate() -> None:
    assert estimate([]) is None


def test_an_interval_holds_the_value_and_narrows_with_more() -> None:
    rng = np.random.default_rng(0)
    few, many = (estimate(rng.normal(10, 2, n)) for n in (20, 2_000))
    assert few is not None
    assert many is not None
    assert few.low < few.value < few.high
    assert many.high - many.low < 0.3 * (few.high - few.low)


def test_what_depends_on_each_other_is_drawn_together() -> None:
    values, blocks = np.repeat([0.0, 1.0] * 5, 50), np.repeat(range(10), 50)
    apart, together = estimate(values), estimate(values, blocks)
    assert apart is not None
    assert together is not None
    assert together.high - together.low > 3 * (apart.high - apart.low)


def test_the_same_measurements_give_the_same_interval() -> None:
    assert quantile([1.0, 2.0, 5.0, 9.0], 0.5) == quantile([1.0, 2.0, 5.0, 9.0], 0.5)


def test_rows_that_belong_together_stay_together() -> None:
    pairs = np.array([[1.0, 2.0], [2.0, 4.0], [4.0, 8.0]])
    found = estimate(pairs, statistic=lambda rows: float(rows[:, 0].sum() / rows[:, 1].sum()))
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.5, 0.5))
