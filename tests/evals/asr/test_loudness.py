import numpy as np
import pytest

from evals.asr.loudness import snr_class, snr_db, speech_edges_s

RNG = np.random.default_rng(0)


def speech(noise: float) -> np.ndarray:
    """Half a second of quiet, a second of sound, half a second of quiet."""
    voice = np.zeros(32_000)
    voice[8_000:24_000] = 0.1 * RNG.standard_normal(16_000)
    return (voice + noise * RNG.standard_normal(32_000)).astype(np.float32)


@pytest.mark.parametrize("wanted_db", [10, 20, 30])
def test_the_ratio_is_that_of_voice_to_noise(wanted_db: int) -> None:
    assert snr_db(speech(0.1 * 10 ** (-wanted_db / 20))) == pytest.approx(wanted_db, abs=1.5)


def test_digital_silence_is_no_noise() -> None:
    assert snr_class(snr_db(speech(0.0))) == "over 40 dB"
    assert snr_class(9.9) == "under 10 dB"
    assert snr_class(10.0) == "10 to 20 dB"
    assert snr_class(39.9) == "30 to 40 dB"


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.02])
def test_speech_begins_and_ends_where_it_is_loud(noise: float) -> None:
    assert speech_edges_s(speech(noise)) == pytest.approx((0.5, 1.5), abs=0.03)


def test_a_click_is_no_speech() -> None:
    samples = speech(0.001)
    samples[31_000:31_100] = 0.9
    assert speech_edges_s(samples)[1] == pytest.approx(1.5, abs=0.03)


def test_what_never_sounds_is_speech_from_end_to_end() -> None:
    assert speech_edges_s(np.zeros(16_000, np.float32)) == (0.0, 1.0)
