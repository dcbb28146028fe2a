"""What rooms, lines and codecs do to speech, and sounds that are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
from msgspec import Struct
from scipy import signal

from evals.codec import G711, coded
from schemas.audio import SESSION_RATE_HZ, Samples

_PACKET_SAMPLES: Final = SESSION_RATE_HZ * 20 // 1000
_MEAN_BURST_PACKETS: Final = 3.0
"""Lost in a row: losses on real networks come in bursts (Gilbert's model)."""
_LEVEL: Final = 0.05
"""RMS of speech in the corpus, -26 dBFS: what voices give, about."""


class Echo(Struct, frozen=True):
    """How the loudspeaker is heard by the microphone, without echo cancellation."""

    delay_ms: int
    gain_db: float
    lowpass_hz: int = 3_400


class Channel(Struct, frozen=True, kw_only=True):
    """What lies between a mouth and the server."""

    name: str
    noise_snr_db: float | None = None
    """Background noise all the time."""
    bursts: bool = False
    """Bursts of noise at -5 to 10 dB, here and there."""
    loss: float = 0.0
    """Share of packets of 20 ms lost, in bursts."""
    g711: bool = False
    """Telephone: 8 kHz, mu-law."""
    echo: Echo | None = None


CLEAN: Final = Channel(name="clean")
CHANNELS: Final = (
    CLEAN,
    Channel(name="noise 15 dB", noise_snr_db=15.0),
    Channel(name="telephone", g711=True),
    CLEAN,
    Channel(name="bursts", bursts=True),
    Channel(name="loss 1 %", loss=0.01),
)
"""In turn over a corpus: a third of it is clean."""
ECHOES: Final = (
    None,
    Echo(delay_ms=60, gain_db=-24.0),
    None,
    Echo(delay_ms=180, gain_db=-30.0),
)
"""In turn over conversations."""


def heard_through(channel: Channel, samples: Samples, noises: Sequence[Samples], rng: np.random.Generator) -> Samples:
    """Speech, with whatever silence is around it, as it arrives.

    Args:
        channel: Its echo is not of speech alone: see :class:`EchoPath`.
        samples: ``float32, (n,)``, 16 kHz.
        noises: Recordings of noise; made up where there are none.
        rng: Draws.
    """
    out = samples.copy()
    level = speech_level(samples)
    if channel.noise_snr_db is not None:
        out += background(len(out), noises, rng) * level * 10 ** (-channel.noise_snr_db / 20)
    if channel.bursts:
        for _ in range(max(1, round(len(out) / SESSION_RATE_HZ / 3))):
            burst = noise_burst(rng)[: len(out)]
            start = int(rng.integers(0, len(out) - len(burst) + 1))
            out[start : start + len(burst)] += burst * level * 10 ** (-rng.uniform(-5, 10) / 20)
    if channel.g711:
        out = coded(out, G711)
    if channel.loss:
        out = lossy(out, channel.loss, rng)
    return np.clip(out, -1.0, 1.0)


def background(n: int, noises: Sequence[Samples], rng: np.random.Generator) -> Samples:
    """``float32, (n,)`` of noise at RMS 1: a recording from a random place on, or pink noise."""
    if noises:
        noise = noises[int(rng.integers(len(noises)))]
        noise = np.resize(np.roll(noise, -int(rng.integers(len(noise)))), n)
    else:
        spectrum = np.fft.rfft(rng.standard_normal(n))
        spectrum /= np.sqrt(np.maximum(1.0, np.arange(len(spectrum))))
        noise = np.fft.irfft(spectrum, n)
    return (noise / max(1e-6, float(np.sqrt(np.mean(noise**2))))).astype(np.float32)


def noise_burst(rng: np.random.Generator) -> Samples:
    """A knock, a slam, a rustle: 50 to 400 ms at RMS 1."""
    n = int(rng.uniform(0.05, 0.4) * SESSION_RATE_HZ)
    burst = rng.standard_normal(n) * np.exp(-np.linspace(0, rng.uniform(2, 6), n))
    return (burst / np.sqrt(np.mean(burst**2))).astype(np.float32)


def cough(rng: np.random.Generator) -> Samples:
    """One or two coughs, as loud as speech: each a burst of breath, and the noise of a throat that closes again."""
    parts: list[Samples] = []
    for _ in range(int(rng.integers(1, 3))):
        n = int(rng.uniform(0.18, 0.32) * SESSION_RATE_HZ)
        seconds = np.arange(n) / SESSION_RATE_HZ
        noise = np.fft.rfft(rng.standard_normal(n))
        hz = np.fft.rfftfreq(n, 1 / SESSION_RATE_HZ)
        # The formants of an open throat, wide.
        shape = sum(np.exp(-(((hz - centre) / width) ** 2)) for centre, width in ((600, 350), (1500, 500), (2800, 900)))
        sound = np.fft.irfft(noise * shape, n) * np.minimum(1.0, seconds / 0.008) * np.exp(-seconds / 0.09)
        parts += [sound.astype(np.float32), np.zeros(int(rng.uniform(0.1, 0.2) * SESSION_RATE_HZ), np.float32)]
    out = np.concatenate(parts[:-1])
    return at_level(out)


def at_level(samples: Samples, gain_db: float = 0.0) -> Samples:
    """The same sound as loud as speech of the corpus, or so much louder."""
    level = float(np.sqrt(np.mean(samples**2)))
    return (samples * np.float32(_LEVEL * 10 ** (gain_db / 20) / max(level, 1e-6))).astype(np.float32)


def in_room(samples: Samples, response: Samples) -> Samples:
    """As heard from the other side of a room, at the same level."""
    level = speech_level(samples)
    out = cast("Any", signal).fftconvolve(samples, response)[: len(samples)].astype(np.float32)
    return out * np.float32(level / max(speech_level(out), 1e-6))


def lossy(samples: Samples, loss: float, rng: np.random.Generator) -> Samples:
    """With packets lost in bursts. A receiver repeats the last packet once, then is silent."""
    out = samples.copy()
    leave = 1 / _MEAN_BURST_PACKETS
    enter = leave * loss / (1 - loss)
    lost = 0
    for start in range(_PACKET_SAMPLES, len(out) - _PACKET_SAMPLES, _PACKET_SAMPLES):
        lost = (lost + 1 if rng.random() >= leave else 0) if lost else int(rng.random() < enter)
        if lost == 1:
            out[start : start + _PACKET_SAMPLES] = out[start - _PACKET_SAMPLES : start] * np.float32(0.5)
        elif lost:
            out[start : start + _PACKET_SAMPLES] = 0.0
    return out


class EchoPath:
    """What the microphone hears of the loudspeaker, frame by frame.

    Args:
        echo: The path.
        rng: Draws its room.
    """

    def __init__(self, echo: Echo, rng: np.random.Generator) -> None:
        room = rng.standard_normal(SESSION_RATE_HZ // 20) * np.exp(-np.linspace(0, 8, SESSION_RATE_HZ // 20))
        room[0] = 3.0
        spectrum = np.fft.rfft(room)
        spectrum[np.fft.rfftfreq(len(room), 1 / SESSION_RATE_HZ) > echo.lowpass_hz] = 0.0
        room = np.fft.irfft(spectrum, len(room))
        room *= 10 ** (echo.gain_db / 20) / np.sqrt(np.sum(room**2))
        delay = np.zeros(echo.delay_ms * SESSION_RATE_HZ // 1000)
        self._response = np.concatenate((delay, room)).astype(np.float32)
        self._tail = np.zeros(0, np.float32)

    def push(self, played: Samples) -> Samples:
        """The echo during a frame in which this was played."""
        sound = np.convolve(played, self._response).astype(np.float32)
        sound[: len(self._tail)] += self._tail
        self._tail = sound[len(played) :]
        return sound[: len(played)]


def speech_level(samples: Samples) -> float:
    """RMS of what sounds in it: 1 is full scale."""
    loud = samples[np.abs(samples) > np.abs(samples).max(initial=0.0) / 50]
    return float(np.sqrt(np.mean(loud**2))) if len(loud) else _LEVEL
