import numpy as np
import pytest

from evals.acoustics import CHANNELS, Channel, Echo, EchoPath, at_level, cough, heard_through, lossy
from schemas.audio import SESSION_RATE_HZ, Samples


def speech(seconds: float = 1.0) -> Samples:
    t = np.arange(round(seconds * SESSION_RATE_HZ)) / SESSION_RATE_HZ
    return (0.1 * np.sin(2 * np.pi * 440 * t) * (1 + np.sin(2 * np.pi * 3 * t))).astype(np.float32)


def rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples**2)))


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
def test_a_channel_keeps_the_length_and_is_the_same_for_the_same_draws(channel: Channel) -> None:
    one, other = (heard_through(channel, speech(), (), np.random.default_rng(5)) for _ in range(2))
    assert len(one) == len(speech())
    assert np.array_equal(one, other)
    assert one.dtype == np.float32


def test_noise_is_as_loud_as_it_is_said_to_be() -> None:
    channel = Channel(name="noise", noise_snr_db=10.0)
    noisy = heard_through(channel, np.pad(speech(2.0), 8_000), (), np.random.default_rng(0))
    noise = noisy[:8_000]
    assert 20 * np.log10(rms(speech(2.0)) / rms(noise)) == pytest.approx(10, abs=2.0)


def test_packets_are_lost_in_bursts_at_the_rate_asked_for() -> None:
    whole = np.ones(SESSION_RATE_HZ * 400, np.float32)
    packets = lossy(whole, 0.01, np.random.default_rng(0)).reshape(-1, 320).mean(axis=1)
    lost = packets < 1.0
    assert float(lost.mean()) == pytest.approx(0.01, abs=0.003)
    bursts = int((np.diff(lost.astype(int)) == 1).sum())
    assert lost.sum() / bursts > 2


def test_an_echo_is_late_and_quiet_whatever_the_frames() -> None:
    echo = Echo(delay_ms=100, gain_db=-20.0)
    played = speech(0.5)
    whole = EchoPath(echo, np.random.default_rng(1)).push(np.pad(played, (0, 8_000)))
    path = EchoPath(echo, np.random.default_rng(1))
    pieces = np.concatenate([path.push(piece) for piece in np.split(np.pad(played, (0, 8_000)), 50)])
    assert np.allclose(whole, pieces, atol=1e-5)
    assert not np.any(np.abs(whole[:1_600]) > 1e-6)
    assert rms(whole) < 0.3 * rms(played)
    assert rms(whole) > 0


def test_a_cough_is_as_loud_as_speech_and_short() -> None:
    for seed in range(5):
        sound = cough(np.random.default_rng(seed))
        assert 0.15 < len(sound) / SESSION_RATE_HZ < 1.0
        assert rms(sound) == pytest.approx(rms(at_level(speech())), rel=0.01)
