"""What every voice activity detector must do, whatever it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.base import Vad
from schemas.audio import VAD_FRAME_SAMPLES, Samples


def frames_of(samples: Samples) -> NDArray[np.float32]:
    count = len(samples) // VAD_FRAME_SAMPLES
    return samples[: count * VAD_FRAME_SAMPLES].reshape(count, VAD_FRAME_SAMPLES)


def scores(vad: Vad, samples: Samples) -> NDArray[np.float32]:
    state = vad.initial_state()
    found: list[float] = []
    for frame in frames_of(samples):
        probabilities, (state,) = vad.score(frame[None, None], [state])
        found.append(float(probabilities[0, 0]))
    return np.array(found, np.float32)


def test_silence_scores_low(vad: Vad) -> None:
    assert scores(vad, np.zeros(16_000, np.float32)).max() < 0.1


def test_speech_scores_high(vad: Vad, vad_listener: Any) -> None:
    for clip in vad_listener.speech:
        assert np.median(scores(vad, clip)) > 0.7


def test_probabilities_are_one_a_frame_and_float32(vad: Vad) -> None:
    probabilities, states = vad.score(np.zeros((3, 2, VAD_FRAME_SAMPLES), np.float32), [vad.initial_state()] * 3)
    assert probabilities.shape == (3, 2)
    assert probabilities.dtype == np.float32
    assert len(states) == 3
    assert all(state.dtype == np.float32 for state in states)


@pytest.mark.parametrize("in_a_row", [1, 7])
def test_streams_and_frames_scored_together_score_as_alone(vad: Vad, vad_listener: Any, in_a_row: int) -> None:
    clips = [frames_of(clip) for clip in vad_listener.speech]
    length = min(map(len, clips))
    together: list[NDArray[np.float32]] = []
    states = [vad.initial_state() for _ in clips]
    for begin in range(0, length, in_a_row):
        frames = np.stack([clip[begin : min(length, begin + in_a_row)] for clip in clips])
        probabilities, states = vad.score(frames, states)
        together.append(probabilities)
    alone = [scores(vad, clip.reshape(-1))[:length] for clip in clips]
    np.testing.assert_allclose(np.concatenate(together, axis=1), np.array(alone), atol=1e-4)


def test_a_state_is_a_value_that_scoring_leaves_as_it_was(vad: Vad, vad_listener: Any) -> None:
    first, second = frames_of(vad_listener.speech[0])[10:12]
    _, (state,) = vad.score(first[None, None], [vad.initial_state()])
    kept = state.copy()
    once = vad.score(second[None, None], [state])
    again = vad.score(second[None, None], [state])
    assert np.array_equal(state, kept)
    assert once[0] == again[0]
    assert np.array_equal(once[1][0], again[1][0])


def test_no_streams_have_no_scores(vad: Vad) -> None:
    probabilities, states = vad.score(np.empty((0, 1, VAD_FRAME_SAMPLES), np.float32), [])
    assert probabilities.shape == (0, 1)
    assert states == []
