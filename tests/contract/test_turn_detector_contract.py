"""What every turn detector must do, whatever it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engines.base import TurnAudio, TurnDetector
from schemas.audio import SESSION_RATE_HZ


def test_each_clip_has_a_probability_in_order(turn_detector: TurnDetector, turn_listener: Any) -> None:
    found = turn_detector.score(turn_listener.speech)
    assert len(found) == len(turn_listener.speech)
    assert all(isinstance(score, float) and 0.0 <= score <= 1.0 for score in found)


def test_no_clips_have_no_scores(turn_detector: TurnDetector) -> None:
    assert turn_detector.score([]) == []


def test_clips_scored_together_score_as_alone(turn_detector: TurnDetector, turn_listener: Any) -> None:
    together = turn_detector.score(turn_listener.speech)
    alone = [turn_detector.score([clip])[0] for clip in turn_listener.speech]
    assert together == pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize("length_samples", [0, 1, 100, 30 * SESSION_RATE_HZ])
def test_clips_of_any_length_can_be_scored(turn_detector: TurnDetector, length_samples: int) -> None:
    noise = np.random.default_rng(1).normal(0.0, 0.01, length_samples).astype(np.float32)
    (score,) = turn_detector.score([TurnAudio(noise, min(length_samples, SESSION_RATE_HZ // 5))])
    assert 0.0 <= score <= 1.0


def test_what_lies_before_the_window_does_not_count(turn_detector: TurnDetector, turn_listener: Any) -> None:
    heard = turn_listener.speech[0]
    samples = np.concatenate((np.zeros(20 * SESSION_RATE_HZ, np.float32), heard.samples))
    clip = TurnAudio(samples, heard.silence_samples)
    longer = TurnAudio(np.concatenate((np.ones(5 * SESSION_RATE_HZ, np.float32), samples)), heard.silence_samples)
    assert turn_detector.score([clip]) == pytest.approx(turn_detector.score([longer]), abs=1e-4)
