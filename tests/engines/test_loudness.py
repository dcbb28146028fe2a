from __future__ import annotations

import numpy as np
import pytest

from engines.loudness import TARGET_LUFS, gain_to_target, integrated_lufs
from schemas.audio import Samples


def tone(amplitude: float, *, duration_s: float = 4.0, rate_hz: int = 48_000, hz: float = 997.0) -> Samples:
    times = np.arange(int(duration_s * rate_hz)) / rate_hz
    return (amplitude * np.sin(2 * np.pi * hz * times)).astype(np.float32)


def test_a_full_scale_tone_of_997_hz_has_the_loudness_the_standard_says() -> None:
    # ITU-R BS.1770-5, annex 1: 0 dBFS in one channel reads -3.01 LKFS.
    assert integrated_lufs(tone(1.0), 48_000) == pytest.approx(-3.01, abs=0.05)


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 24_000, 44_100])
def test_the_rate_does_not_matter(rate_hz: int) -> None:
    assert integrated_lufs(tone(0.1, rate_hz=rate_hz), rate_hz) == pytest.approx(-23.01, abs=0.1)


def test_silence_around_speech_does_not_make_it_fainter() -> None:
    loud = tone(0.1, duration_s=8.0)
    padded = np.concatenate([np.zeros(96_000, np.float32), loud, np.zeros(96_000, np.float32)])
    assert integrated_lufs(padded, 48_000) == pytest.approx(integrated_lufs(loud, 48_000), abs=0.5)


def test_a_sound_shorter_than_the_measure_is_measured_too() -> None:
    assert integrated_lufs(tone(0.1, duration_s=0.2), 48_000) == pytest.approx(-23.0, abs=0.5)


@pytest.mark.parametrize("amplitude", [0.01, 0.1, 0.9])
def test_with_its_gain_a_sound_is_as_loud_as_the_target(amplitude: float) -> None:
    samples = tone(amplitude)
    assert integrated_lufs(samples * gain_to_target(samples, 48_000), 48_000) == pytest.approx(TARGET_LUFS, abs=0.1)


@pytest.mark.parametrize("samples", [np.zeros(48_000, np.float32), np.zeros(0, np.float32)])
def test_silence_has_no_gain(samples: Samples) -> None:
    assert gain_to_target(samples, 48_000) == 1.0
