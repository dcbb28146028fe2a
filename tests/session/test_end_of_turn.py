"""The fused probability that the user is done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from session.end_of_turn import MAX_LOGIT, WEIGHTS, end_of_turn_features, merged_score, probability
from session.lexicons import TextCues, text_cues

Probabilities = st.floats(0, 1)


def fused(audio: float | None, text: str | None, silence_ms: float = 300, stability: float = 1.0) -> float:
    cues = None if text is None else text_cues(text, "en")
    return probability(end_of_turn_features(audio, cues, silence_ms, stability), WEIGHTS)


def test_the_weights_of_this_version_say_where_they_come_from() -> None:
    assert WEIGHTS.version
    assert WEIGHTS.report


def test_without_detector_and_words_only_silence_counts() -> None:
    features = end_of_turn_features(None, None, 400, 0.7)
    assert (features.audio_logit, features.text_complete, features.trailing_open) == (0, 0, 0)
    assert (features.silence_s, features.stability) == (0.4, 0)


def test_an_empty_text_is_no_text() -> None:
    assert end_of_turn_features(0.5, TextCues(), 400, 1.0) == end_of_turn_features(0.5, None, 400, 1.0)


def test_a_sentence_is_half_as_complete_as_an_answer_that_needs_nothing_more() -> None:
    texts = ("Yes, please.", "I live in Berlin.", "I live in Berlin", "I live in the.")
    completeness = [end_of_turn_features(None, text_cues(text, "en"), 0, 1.0).text_complete for text in texts]
    assert completeness == [1.0, 0.5, 0.0, 0.0]


@given(Probabilities, Probabilities)
def test_the_surer_the_detector_the_surer_the_end(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert fused(low, "I live in Berlin.") <= fused(high, "I live in Berlin.")
    assert abs(end_of_turn_features(high, None, 0, 0).audio_logit) <= MAX_LOGIT


@given(st.one_of(st.none(), Probabilities), st.floats(0, 10_000))
def test_words_that_want_more_make_an_end_less_likely(audio: float | None, silence_ms: float) -> None:
    assert fused(audio, "I live in the", silence_ms) < fused(audio, "I live in Berlin", silence_ms)
    assert fused(audio, "Hello.", silence_ms) > fused(audio, "Hello my", silence_ms)


def test_what_the_detector_says_again_and_again_counts_together() -> None:
    weights = replace(WEIGHTS, least_score=False, score_memory=0.5)
    assert merged_score(None, 0.9, weights) == 0.9
    assert merged_score(0.9, 0.1, weights) == pytest.approx(0.5)
    assert merged_score(0.9, None, weights) is None


def test_older_weights_take_the_newest_answer_or_the_least() -> None:
    older = replace(WEIGHTS, least_score=False, score_memory=0.0)
    assert [merged_score(0.4, newest, older) for newest in (0.2, 0.9)] == [0.2, 0.9]
    least = replace(older, least_score=True)
    assert [merged_score(0.4, newest, least) for newest in (0.2, 0.9)] == [0.2, 0.4]
