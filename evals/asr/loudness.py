"""What can be told of a recording by its loudness: where speech is, and how far it is above the noise."""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.audio import SESSION_RATE_HZ, Samples

_FRAME_SAMPLES: Final = SESSION_RATE_HZ // 100
_FLOOR_DB: Final = -90.0
"""Digital silence; 16 bits reach as far."""
_SNR_LIMITS_DB: Final = (10, 20, 30, 40)


def snr_db(samples: Samples) -> float:
    """An estimate of the signal-to-noise ratio: the louder half of the frames over the quietest tenth.

    Args:
        samples: ``float32, (n,)``, 16 kHz: speech with some pauses in it.
    """
    powers = np.sort(10 ** (_levels_db(samples) / 10))
    noise = float(np.mean(powers[: max(1, len(powers) // 10)]))
    speech = float(np.mean(powers[len(powers) // 2 :]))
    return 10 * float(np.log10(max(speech - noise, noise / 10) / noise))


def snr_class(value_db: float) -> str:
    """As in ``20 to 30 dB``."""
    if value_db < _SNR_LIMITS_DB[0]:
        return f"under {_SNR_LIMITS_DB[0]} dB"
    for low, high in itertools.pairwise(_SNR_LIMITS_DB):
        if value_db < high:
            return f"{low} to {high} dB"
    return f"over {_SNR_LIMITS_DB[-1]} dB"


def speech_edges_s(samples: Samples) -> tuple[float, float]:
    """Where the first sound begins and the last one ends, in seconds: louder than a third of the way from the noise
    to the voice, in decibels, and within 35 dB of it.
    """  # noqa: D205  one sentence
    levels = _levels_db(samples)
    floor, voice = (float(value) for value in np.percentile(levels, (10, 95)))
    threshold = max(floor + (voice - floor) / 3, voice - 35.0)
    loud = levels > threshold
    # A click is no speech: three frames in a row.
    runs = np.flatnonzero(loud[:-2] & loud[1:-1] & loud[2:]) if len(loud) > 2 else np.array([], np.int64)  # noqa: PLR2004
    if not len(runs):
        return 0.0, len(samples) / SESSION_RATE_HZ
    per_s = SESSION_RATE_HZ / _FRAME_SAMPLES
    return float(runs[0]) / per_s, float(runs[-1] + 3) / per_s


def _levels_db(samples: Samples) -> NDArray[np.float64]:
    """Of frames of 10 ms; at least one."""
    frames = np.resize(samples, (max(1, len(samples) // _FRAME_SAMPLES), _FRAME_SAMPLES)).astype(np.float64)
    return np.maximum(_FLOOR_DB, 10 * np.log10(np.maximum(1e-12, np.mean(frames**2, axis=1))))
