from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.onnx_session import OnnxSession
from engines.vits_decoder import Frames, VitsDecoder

HOP_SAMPLES = 4
REACH_FRAMES = 5


class Blur:
    """A decoder in which a frame is heard so many frames to either side, in exact numbers."""

    def __init__(self, reach_frames: int) -> None:
        self.reach_frames = reach_frames
        self.decoded_frames: list[int] = []
        self.speakers: list[Any] = []

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        assert list(outputs) == ["audio"]
        self.speakers.append(inputs.get("sid"))
        frames = inputs["frames"].astype(np.float64)
        assert inputs["frames"].flags.c_contiguous
        self.decoded_frames.append(frames.shape[2])
        weights = np.arange(1, 2 * self.reach_frames + 2)
        mixed = np.convolve(frames.sum(axis=(0, 1)), weights)[self.reach_frames :][: frames.shape[2]]
        return [(mixed[:, None] * np.arange(1, HOP_SAMPLES + 1)).reshape(1, 1, -1).astype(np.float32)]


def frames_of(count: int) -> Frames:
    return np.random.default_rng(count).integers(-9, 10, (1, 3, count)).astype(np.float32)


def decoder_of(blur: Blur, *, example_frames: int = 100, **speaker: NDArray[np.int64]) -> VitsDecoder:
    example = np.abs(frames_of(example_frames)) + 1
    decoder = VitsDecoder(cast("OnnxSession", blur), frames="frames", audio="audio", speaker=speaker, example=example)
    blur.decoded_frames.clear()
    return decoder


@pytest.mark.parametrize("reach_frames", [0, 1, 5, 16, 30])
def test_the_context_is_as_far_as_a_frame_is_heard(reach_frames: int) -> None:
    decoder = decoder_of(Blur(reach_frames))
    assert decoder.context_frames == reach_frames
    assert decoder.samples_per_frame == HOP_SAMPLES


def test_a_frame_that_is_heard_too_far_away_is_refused() -> None:
    with pytest.raises(ValueError, match="no end"):
        decoder_of(Blur(40))


@given(count=st.integers(1, 900), reach_frames=st.integers(0, 20))
def test_the_windows_joined_are_the_whole(count: int, reach_frames: int) -> None:
    decoder = decoder_of(Blur(reach_frames))
    frames = frames_of(count)
    joined = np.concatenate(list(decoder.windows(frames)))
    assert joined.dtype == np.float32
    np.testing.assert_array_equal(joined, decoder.decode(frames))


def test_windows_begin_small_and_double_up_to_a_limit() -> None:
    decoder = decoder_of(Blur(REACH_FRAMES))
    lengths = [len(samples) // HOP_SAMPLES for samples in decoder.windows(frames_of(800))]
    assert lengths == [24, 48, 96, 192, 192, 192, 56]


def test_a_window_is_decoded_when_it_is_asked_for_and_not_before() -> None:
    blur = Blur(REACH_FRAMES)
    windows = decoder_of(blur).windows(frames_of(800))
    assert not blur.decoded_frames
    next(windows)
    assert blur.decoded_frames == [24 + REACH_FRAMES]
    next(windows)
    assert blur.decoded_frames[1:] == [48 + 2 * REACH_FRAMES]


def test_what_is_short_is_decoded_at_once() -> None:
    blur = Blur(REACH_FRAMES)
    (samples,) = decoder_of(blur).windows(frames_of(7))
    assert len(samples) == 7 * HOP_SAMPLES
    assert blur.decoded_frames == [7]


def test_the_speaker_is_told_with_every_window() -> None:
    blur = Blur(REACH_FRAMES)
    speaker = np.zeros(1, np.int64)
    list(decoder_of(blur, sid=speaker).windows(frames_of(100)))
    assert all(each is speaker for each in blur.speakers)
