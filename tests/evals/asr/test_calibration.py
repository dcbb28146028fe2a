import pytest

from evals.asr.calibration import Belief, beliefs, calibration_error, reliability
from schemas.transcripts import Word


def word(text: str, probability: float) -> Word:
    return Word(text, 0.0, 0.1, probability)


def test_each_recognised_word_is_right_or_not() -> None:
    words = [word("Good", 0.9), word("moaning,", 0.4), word("…", 0.2), word("Vietnam.", 0.8)]
    found = beliefs(words, "good morning vietnam", "en", "s")
    assert [(one.probability, one.right) for one in found] == [(0.9, True), (0.4, False), (0.8, True)]


def test_words_that_are_as_often_right_as_they_say_are_calibrated() -> None:
    honest = [Belief(0.75, right, str(n)) for n, right in enumerate([True, True, True, False] * 10)]
    boastful = [Belief(0.95, right, str(n)) for n, right in enumerate([True, False] * 20)]
    good, bad = calibration_error(honest), calibration_error(boastful)
    assert good is not None
    assert bad is not None
    assert good.value == pytest.approx(0.0)
    assert bad.value == pytest.approx(0.45)
    assert bad.low > good.value
    assert calibration_error([]) is None


def test_the_plot_has_a_point_for_each_class_with_words_enough() -> None:
    sure = [Belief(probability, right=True, block="a") for probability in (0.95, 0.96, 0.97)]
    doubtful = [Belief(0.15, right=False, block="b")] * 3
    (series,) = reliability([*sure, *doubtful, Belief(0.55, right=True, block="c")]).series
    assert series.x == pytest.approx((0.15, 0.96))
    assert series.y == (0.0, 1.0)
