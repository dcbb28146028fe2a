from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.audio import PcmAudio, float_from_pcm16, pcm16_from_float


@given(st.binary(max_size=2_000).filter(lambda data: len(data) % 2 == 0))
def test_pcm16_survives_the_way_to_float_and_back(data: bytes) -> None:
    assert pcm16_from_float(float_from_pcm16(data)) == data


@given(st.lists(st.floats(-1, 1, width=32), max_size=500))
def test_floats_come_back_to_within_half_a_step_or_the_clipped_top(values: list[float]) -> None:
    samples = np.array(values, dtype=np.float32)
    back = float_from_pcm16(pcm16_from_float(samples))
    assert back.dtype == np.float32
    # The largest 16-bit value is one step below 1.
    assert np.all(np.abs(back - samples) <= np.where(samples > 1 - 1 / 32_768, 1, 0.5) / 32_768)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_what_is_too_loud_is_clipped_and_never_wraps_around(value: float) -> None:
    (back,) = float_from_pcm16(pcm16_from_float(np.array([value], dtype=np.float32)))
    assert -1 <= back < 1
    assert np.sign(back) in (0, np.sign(value))


def test_samples_are_little_endian() -> None:
    assert pcm16_from_float(np.array([0.5, -1.0], dtype=np.float32)) == b"\x00\x40\x00\x80"


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple"):
        float_from_pcm16(b"\x00\x00\x00")


def test_duration_is_samples_over_rate() -> None:
    assert PcmAudio(np.zeros(24_000, dtype=np.float32), 16_000).duration_s == 1.5
