"""Ways in which speech arrives worse than it was said, each at several strengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
from msgspec import Struct

from evals.acoustics import Channel, heard_through, in_room, speech_level
from evals.codec import G711, Codec, at_tempo, coded, opus
from schemas.audio import SESSION_RATE_HZ, Samples, float_from_pcm16, pcm16_from_float

_FULL_SCALE: Final = 0.98
_ROOMS_MADE_UP_S: Final = (0.3, 0.6, 1.0)
"""Reverberation times where there are no recorded rooms: a study, an office, a hall."""
_DIRECT_TO_REVERBERANT_DB: Final = 0.0
"""Of rooms that are made up: as on the other side of a table."""

Damage = Callable[[Samples, np.random.Generator], Samples]


class Degradation(Struct, frozen=True, eq=False):
    """One way, at one strength."""

    label: str
    """As in ``10 dB``."""
    damage: Damage


class Family(Struct, frozen=True, eq=False):
    """One way, from hardly to very much."""

    name: str
    title: str
    x_label: str
    degradations: tuple[Degradation, ...]


def families(noises: Sequence[Samples], rooms: Sequence[Samples]) -> tuple[Family, ...]:
    """All ways.

    Args:
        noises: Recordings of noise, 16 kHz; it is made up where there are none.
        rooms: Impulse responses, 16 kHz; the same.
    """
    return (
        Family("noise", "Background noise", "signal to noise", tuple(_noise(db, noises) for db in (20, 10, 5, 0))),
        Family("room", "Reverberation", "reverberation time", _rooms(rooms)),
        Family(
            "codec",
            "Lines and codecs",
            "codec",
            (
                _codec("G.711 μ-law, 8 kHz", G711),
                _codec("Opus 12 kb/s", opus(12_000)),
                _codec("Opus 6 kb/s", opus(6_000)),
            ),
        ),
        Family("loss", "Lost packets, in bursts", "share of packets lost", tuple(_loss(p) for p in (1, 3, 5))),
        Family("clipping", "Clipping", "peak over full scale", tuple(_clipping(db) for db in (6, 12, 24))),
        Family("level", "Level", "level of the speech", tuple(_level(db) for db in (-40, -55, -70))),
        Family("speed", "Speed", "times as fast", tuple(_speed(tempo) for tempo in (0.7, 0.85, 1.2, 1.5))),
    )


def reverberation_s(response: Samples) -> float:
    """T60 of a room: Schroeder's decay curve from -5 to -25 dB, times three (ISO 3382's T20)."""
    tail = response[int(np.argmax(np.abs(response))) :].astype(np.float64)
    left = np.cumsum(tail[::-1] ** 2)[::-1]
    level_db = 10 * np.log10(np.maximum(left / left[0], 1e-12))
    begin, end = (int(np.argmax(level_db <= below_db)) for below_db in (-5.0, -25.0))
    return 3 * max(1, end - begin) / SESSION_RATE_HZ


def made_up_room(reverberation_time_s: float, rng: np.random.Generator) -> Samples:
    """An impulse response: the direct sound, and noise that falls by 60 dB in that time (Polack's model)."""
    n = round(reverberation_time_s * SESSION_RATE_HZ)
    tail = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    tail *= 10 ** (-_DIRECT_TO_REVERBERANT_DB / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail.astype(np.float32)


def _noise(snr_db: int, noises: Sequence[Samples]) -> Degradation:
    channel = Channel(name="noise", noise_snr_db=float(snr_db))
    return Degradation(f"{snr_db} dB", lambda samples, rng: heard_through(channel, samples, noises, rng))


def _rooms(recorded: Sequence[Samples]) -> tuple[Degradation, ...]:
    rng = np.random.default_rng(0)
    rooms = recorded or [made_up_room(seconds, rng) for seconds in _ROOMS_MADE_UP_S]
    by_time = sorted(rooms, key=reverberation_s)
    return tuple(Degradation(f"{reverberation_s(room):.2f} s", partial(_in_room, room)) for room in by_time)


def _in_room(room: Samples, samples: Samples, _rng: np.random.Generator) -> Samples:
    return np.clip(in_room(samples, room[int(np.argmax(np.abs(room))) :]), -1.0, 1.0)


def _codec(label: str, codec: Codec) -> Degradation:
    return Degradation(label, lambda samples, _rng: coded(samples, codec))


def _loss(percent: int) -> Degradation:
    channel = Channel(name="loss", loss=percent / 100)
    return Degradation(f"{percent} %", lambda samples, rng: heard_through(channel, samples, (), rng))


def _clipping(over_db: int) -> Degradation:
    def damage(samples: Samples, _rng: np.random.Generator) -> Samples:
        gain = 10 ** (over_db / 20) / max(1e-6, float(np.abs(samples).max(initial=0.0)))
        return (np.clip(samples * gain, -1.0, 1.0) * _FULL_SCALE).astype(np.float32)

    return Degradation(f"{over_db} dB", damage)


def _level(level_db: int) -> Degradation:
    def damage(samples: Samples, _rng: np.random.Generator) -> Samples:
        quiet = samples * np.float32(10 ** (level_db / 20) / max(1e-6, speech_level(samples)))
        return float_from_pcm16(pcm16_from_float(quiet))  # 16 bits are what is left of it

    return Degradation(f"{level_db} dBFS", damage)


def _speed(tempo: float) -> Degradation:
    return Degradation(f"{tempo:g}×", lambda samples, _rng: at_tempo(samples, tempo))
