from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.onnx_session import OnnxSession
from engines.vits_decoder import Frames, VitsDecoder, VitsStage

HOP_SAMPLES = 4
REACH_FRAMES = 5


class Blur:
    """A part of convolutions in which a frame is heard so many frames to either side, in exact numbers."""

    def __init__(self, reach_frames: int, *, hop: int = HOP_SAMPLES, mask: bool = False) -> None:
        self.reach_frames = reach_frames
        self.hop = hop
        self.mask = mask
        self.ran_frames: list[int] = []
        self.speakers: list[Any] = []

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        assert list(outputs) == ["made"]
        self.speakers.append(inputs.get("sid"))
        frames = inputs["taken"].astype(np.float64)
        assert inputs["taken"].flags.c_contiguous
        self.ran_frames.append(frames.shape[2])
        if self.mask:
            np.testing.assert_array_equal(inputs["mask"], np.ones((1, 1, frames.shape[2]), np.float32))
        weights = np.arange(1, 2 * self.reach_frames + 2)
        mixed = [np.convolve(row, weights)[self.reach_frames :][: frames.shape[2]] for row in frames[0]]
        if self.hop > 1:  # a decoder: one channel, so many samples a frame
            mixed = [(np.sum(mixed, axis=0)[:, None] * np.arange(1, self.hop + 1)).reshape(-1)]
        return [np.array([mixed], np.float32)]


def frames_of(count: int) -> Frames:
    return np.random.default_rng(count).integers(-9, 10, (1, 3, count)).astype(np.float32)


def stage_of(blur: Blur, **speaker: NDArray[np.int64]) -> VitsStage:
    example = np.abs(frames_of(200)) + 1
    mask = "mask" if blur.mask else None
    session = cast("OnnxSession", blur)
    stage = VitsStage(session, taken="taken", made="made", mask=mask, speaker=speaker, example=example)
    blur.ran_frames.clear()
    return stage


def decoder_of(blur: Blur, flow: Blur | None = None, **speaker: NDArray[np.int64]) -> VitsDecoder:
    return VitsDecoder(stage_of(blur, **speaker), None if flow is None else stage_of(flow))


@pytest.mark.parametrize("reach_frames", [0, 1, 5, 16, 60])
def test_the_context_is_as_far_as_a_frame_is_heard(reach_frames: int) -> None:
    stage = stage_of(Blur(reach_frames))
    assert stage.context_frames == reach_frames
    assert stage.per_frame == HOP_SAMPLES


def test_a_frame_that_is_heard_too_far_away_is_refused() -> None:
    with pytest.raises(ValueError, match="no end"):
        stage_of(Blur(70))


def test_the_flow_makes_as_many_frames_as_it_takes() -> None:
    assert stage_of(Blur(9, hop=1, mask=True)).per_frame == 1


@given(count=st.integers(1, 2_000), reach_frames=st.integers(0, 20), flow_reach_frames=st.integers(0, 40))
def test_through_the_flow_too_the_windows_joined_are_the_whole(
    count: int, reach_frames: int, flow_reach_frames: int
) -> None:
    decoder = decoder_of(Blur(reach_frames), Blur(flow_reach_frames, hop=1, mask=True))
    latents = frames_of(count)
    joined = np.concatenate(list(decoder.windows(latents)))
    np.testing.assert_array_equal(joined, decoder.decode(latents))


def test_the_flow_runs_ahead_in_longer_windows() -> None:
    flow = Blur(32, hop=1)
    windows = decoder_of(Blur(REACH_FRAMES), flow).windows(frames_of(4_000))
    next(windows)
    assert flow.ran_frames == [16 + REACH_FRAMES + 32]
    for _ in windows:
        pass
    assert flow.ran_frames[1:4] == [21 + 4 * 21 + 32, 4 * 105 + 64, 768 + 64]


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
    assert lengths == [16, 32, 64, 128, 192, 192, 176]


def test_a_window_is_decoded_when_it_is_asked_for_and_not_before() -> None:
    blur = Blur(REACH_FRAMES)
    windows = decoder_of(blur).windows(frames_of(800))
    assert not blur.ran_frames
    next(windows)
    assert blur.ran_frames == [16 + REACH_FRAMES]
    next(windows)
    assert blur.ran_frames[1:] == [32 + 2 * REACH_FRAMES]


def test_what_is_short_is_decoded_at_once() -> None:
    blur = Blur(REACH_FRAMES)
    (samples,) = decoder_of(blur).windows(frames_of(7))
    assert len(samples) == 7 * HOP_SAMPLES
    assert blur.ran_frames == [7]


def test_the_speaker_is_told_with_every_window() -> None:
    blur = Blur(REACH_FRAMES)
    speaker = np.zeros(1, np.int64)
    list(decoder_of(blur, sid=speaker).windows(frames_of(100)))
    assert all(each is speaker for each in blur.speakers)
