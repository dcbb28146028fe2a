from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.codec.resampler import Resampler, resample
from schemas.audio import Samples

RATES_HZ = (8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000)


def noise(samples: int) -> Samples:
    return np.random.default_rng(samples).uniform(-1, 1, samples).astype(np.float32)


@given(
    cuts=st.lists(st.integers(0, 5_000), max_size=8),
    length=st.integers(0, 5_000),
    from_hz=st.sampled_from(RATES_HZ),
    to_hz=st.sampled_from(RATES_HZ),
)
def test_pieces_of_any_size_come_out_like_one_piece(cuts: list[int], length: int, from_hz: int, to_hz: int) -> None:
    samples = noise(length)
    resampler = Resampler(from_hz, to_hz)
    pieces = [resampler.push(piece) for piece in np.split(samples, sorted(min(cut, length) for cut in cuts))]
    streamed = np.concatenate((*pieces, resampler.flush()))
    np.testing.assert_allclose(streamed, resample(samples, from_hz, to_hz), atol=1e-6)


@given(length=st.integers(0, 50_000), from_hz=st.sampled_from(RATES_HZ), to_hz=st.sampled_from(RATES_HZ))
def test_length_is_kept_to_within_a_sample(length: int, from_hz: int, to_hz: int) -> None:
    assert abs(len(resample(noise(length), from_hz, to_hz)) - length * to_hz / from_hz) <= 1


def test_equal_rates_pass_samples_through_untouched() -> None:
    samples = noise(1_000)
    assert Resampler(16_000, 16_000).push(samples) is samples
    assert len(Resampler(16_000, 16_000).flush()) == 0
    assert resample(samples, 16_000, 16_000) is samples


@pytest.mark.parametrize(("from_hz", "to_hz"), [(48_000, 16_000), (16_000, 48_000), (44_100, 16_000)])
def test_a_tone_keeps_its_pitch_place_and_loudness(from_hz: int, to_hz: int) -> None:
    def tone(rate_hz: int) -> Samples:
        return np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz).astype(np.float32)

    middle = slice(to_hz // 10, -to_hz // 10)
    np.testing.assert_allclose(resample(tone(from_hz), from_hz, to_hz)[middle], tone(to_hz)[middle], atol=1e-3)


def test_what_the_lower_rate_cannot_hold_is_removed() -> None:
    above = np.sin(2 * np.pi * 10_000 * np.arange(48_000) / 48_000).astype(np.float32)
    assert np.abs(resample(above, 48_000, 16_000)[1_000:-1_000]).max() < 1e-4
