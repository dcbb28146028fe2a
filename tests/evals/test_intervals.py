import numpy as np
import pytest

from evals.figures import figure, roughness
from evals.intervals import estimate, exactly, quantile, quantile_change, ratio, ratio_change, ratio_change_apart


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


def test_nothing_in_so_many_is_not_never() -> None:
    found = exactly(0, 30)
    assert found is not None
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 30))
    assert exactly(0, 0) is None


def test_a_share_that_is_all_or_nothing_is_no_certainty() -> None:
    every, none = estimate([1.0] * 8, [0, 0, 1, 1, 2, 2, 3, 3]), estimate([0.0] * 30)
    assert every is not None
    assert (every.value, every.high, every.n, every.blocks) == (1.0, 1.0, 8, 4)
    assert every.low == pytest.approx(0.025 ** (1 / 4))  # four conversations, of two each
    assert none is not None
    assert (none.low, none.high) == pytest.approx((0.0, 1 - 0.025 ** (1 / 30)))


def test_a_ratio_of_sums_weighs_long_samples_more() -> None:
    found = ratio([1, 0], [1, 99], [0, 1])
    assert found is not None
    assert found.value == pytest.approx(0.01)
    assert ratio([], [], []) is None
    assert ratio([1], [0], [0]) is None


def test_pairs_tell_a_change_that_is_lost_between_runs() -> None:
    rng = np.random.default_rng(1)
    words = np.full(60, 12.0)
    errors = rng.integers(0, 9, 60).astype(float)
    worse = errors + (np.arange(60) % 2)
    blocks = list(range(60))
    found = ratio_change((list(errors), list(words)), (list(worse), list(words)), blocks)
    alone = ratio(list(worse), list(words), blocks)
    assert found is not None
    assert alone is not None
    assert found.change.value == pytest.approx(0.5 / 12)
    assert found.change.low > 0
    assert alone.low < found.base  # by itself, the second run might be as good as the first
    assert found.detectable is not None
    assert 0 < found.detectable < found.change.value


def test_speakers_are_drawn_whole() -> None:
    parts, wholes = [1.0] * 50 + [0.0] * 50, [1.0] * 100
    apart = ratio(parts, wholes, list(range(100)))
    together = ratio(parts, wholes, ["a"] * 50 + ["b"] * 50)
    assert apart is not None
    assert together is not None
    assert (together.low, together.high) == (0.0, 1.0)
    assert apart.high - apart.low < 0.3


def test_a_tail_that_moved_is_found() -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(300, 30, 200)
    found = quantile_change(list(base), list(base + 100), list(range(200)), 0.95)
    assert found is not None
    assert found.change.value == pytest.approx(100, abs=1e-6)
    assert found.change.low > 50
    same = quantile_change(list(base), list(base), list(range(200)), 0.95)
    assert same is not None
    assert (same.change.low, same.change.high) == (0.0, 0.0)


def test_of_one_speaker_nothing_is_sure() -> None:
    parts, wholes, blocks = [1.0, 2.0, 3.0], [10.0, 10.0, 10.0], ["a"] * 3
    for one in (ratio(parts, wholes, blocks), quantile(parts, 0.5, [0, 0, 0]), estimate(parts, [0, 0, 0])):
        assert one is not None
        assert one.is_unsure
        assert figure(one, "%").endswith("(no interval)")
        assert roughness(one, "speakers") == "No interval: that needs two speakers, or more."
    for found in (
        ratio_change((parts, wholes), ([2.0, 2.0, 3.0], wholes), blocks),
        quantile_change(parts, [2.0, 3.0, 4.0], blocks, 0.5),
    ):
        assert found is not None
        assert found.change.is_unsure
        assert found.detectable is None


def test_blocks_without_anything_to_divide_by_are_none() -> None:
    silent = ratio([1.0, 0.0], [10.0, 0.0], ["speaks", "is silent"])
    assert silent is not None
    assert silent.is_unsure


def test_few_speakers_give_rough_intervals_and_many_do_not() -> None:
    few, many = (ratio([1.0, 0.0] * half, [10.0] * 2 * half, range(2 * half)) for half in (3, 5))
    assert roughness(few, "speakers").startswith("Only 6 speakers: intervals are rough")
    assert roughness(many, "speakers") == ""


def test_sides_that_are_no_pairs_vary_each_by_itself() -> None:
    ones = [1.0] * 10
    counts = [10.0, 12.0] * 5
    same = ratio_change_apart((counts, ones), (counts, ones))
    assert same is not None
    assert same.change.value == 0
    assert same.change.low < -0.5 < 0.5 < same.change.high
    fewer = ratio_change_apart((counts, ones), ([5.0, 6.0, 5.0], ones[:3]))
    assert fewer is not None
    assert fewer.change.high < -3
    assert fewer.change.blocks == 3
    assert ratio_change_apart(([], []), (counts, ones)) is None


def test_no_pairs_are_no_change() -> None:
    assert quantile_change([], [], [], 0.5) is None
    assert ratio_change(([], []), ([], []), []) is None
