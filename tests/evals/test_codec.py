import numpy as np
import pytest

from evals.codec import G711, Codec, at_tempo, coded, opus
from schemas.audio import SESSION_RATE_HZ, Samples


def tone(hz: float, seconds: float = 1.0) -> Samples:
    return (0.2 * np.sin(2 * np.pi * hz * np.arange(round(seconds * SESSION_RATE_HZ)) / SESSION_RATE_HZ)).astype(
        np.float32
    )


def rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def test_a_telephone_has_no_high_tones_and_keeps_low_ones() -> None:
    low, high = tone(800), tone(6_000)
    assert rms(coded(low, G711)) == pytest.approx(rms(low), rel=0.05)
    assert rms(coded(high, G711)) < 0.05 * rms(high)


@pytest.mark.parametrize("codec", [G711, opus(12_000), opus(6_000)], ids=lambda codec: f"{codec.name} {codec.bit_rate}")
def test_what_was_coded_is_as_long_and_in_time_and_the_same_each_time(codec: Codec) -> None:
    rng = np.random.default_rng(0)
    burst = np.zeros(SESSION_RATE_HZ, np.float32)
    burst[8_000:8_800] = 0.3 * np.sin(2 * np.pi * 500 * np.arange(800) / SESSION_RATE_HZ)
    burst += rng.standard_normal(len(burst)).astype(np.float32) * np.float32(1e-4)
    out = coded(burst, codec)
    assert out.shape == burst.shape
    assert out.dtype == np.float32
    assert np.array_equal(out, coded(burst, codec))
    energy = np.cumsum(out.astype(np.float64) ** 2)
    middle = int(np.argmax(energy >= energy[-1] / 2))
    assert middle == pytest.approx(8_400, abs=80)


def test_a_lower_bit_rate_keeps_less_of_the_sound() -> None:
    noise = (0.1 * np.random.default_rng(1).standard_normal(SESSION_RATE_HZ)).astype(np.float32)
    lost = [rms(np.subtract(coded(noise, opus(rate)), noise, dtype=np.float32)) for rate in (6_000, 64_000)]
    assert lost[0] > lost[1]


@pytest.mark.parametrize("tempo", [0.7, 1.5])
def test_speech_at_another_tempo_is_shorter_or_longer_at_the_same_pitch(tempo: float) -> None:
    out = at_tempo(tone(440, 2.0), tempo)
    assert len(out) == pytest.approx(2 * SESSION_RATE_HZ / tempo, rel=0.02)
    spectrum = np.abs(np.fft.rfft(out))
    assert np.argmax(spectrum) * SESSION_RATE_HZ / len(out) == pytest.approx(440, abs=5)
