"""Text as tones, so that speech can be tested without weights.

The fake synthesis speaks in this code and the fake recognition understands it. It survives what real speech
survives: resampling (down to 8 kHz), 16-bit quantisation, lossy codecs, gain, silence before and after, being cut.
Anything else (human speech, noise, music) decodes to nothing.

A *slot* is 20 ms of one tone. A word is one or more slots of the marker tone, then two slots for each byte of its
UTF-8 text: high half, low half. An utterance is its words without a pause between, so voice activity detection takes
it for one stretch of speech.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from schemas.audio import SESSION_RATE_HZ, Samples

SLOT_S: Final = 0.02
"""A whole number of samples at 8, 16, 22.05, 24, 44.1 and 48 kHz."""
MARKER_SLOTS: Final = 2

_LOWEST_HZ: Final = 600.0
_STEP_HZ: Final = 150.0
"""More than the resolution of one slot (100 Hz under a Hann window); all tones lie in the telephone band."""
_MARKER: Final = 16
"""Index of the marker tone; 0…15 are the halves of a byte."""
_TONES_HZ: Final = _LOWEST_HZ + _STEP_HZ * np.arange(_MARKER + 1)
_AMPLITUDE: Final = 0.3
_RAMP_S: Final = 0.001
"""Each tone fades in and out, so that there are no clicks for a codec to spread."""

_SLOT_SAMPLES: Final = round(SLOT_S * SESSION_RATE_HZ)
_HOP_SAMPLES: Final = _SLOT_SAMPLES // 8
_QUIET_RMS: Final = 0.003
_QUIET_SHARE: Final = 0.1
"""Of the loudest: what lies 20 dB below the tones is the room."""
_PURE: Final = 0.6
"""Share of a slot's energy that its strongest tone must hold; vowels stay below it, over a whole word at least."""
_SEARCH_SLOTS: Final = 32
"""How much of a stretch is looked at to find where its slots begin."""
_SEARCH_STEPS_SAMPLES: Final = (40, 4)
"""Coarse and fine. Half a coarse step beside the right place, tones are still pure."""
_CODED: Final = 0.5
"""Mean purity, at the best coarse place, below which a stretch is not in this code. Human speech was measured to have
0.03 at the median and 0.4 at the 99th percentile."""


class HeardWord(Struct, frozen=True):
    """A decoded word and its place in the audio."""

    text: str
    start_s: float
    end_s: float


def encode_word(word: str, sample_rate_hz: int, *, marker_slots: int = MARKER_SLOTS) -> Samples:
    """One word as ``float32, (n,)``: ``marker_slots`` slots of marker, then its bytes."""
    data = np.frombuffer(word.encode("utf-8", "replace"), dtype=np.uint8)
    halves = np.stack([data >> 4, data & 15], axis=1).ravel()
    tones_hz = _TONES_HZ[np.concatenate([np.full(marker_slots, _MARKER), halves])]
    time_s = np.arange(round(SLOT_S * sample_rate_hz)) / sample_rate_hz
    ramp = np.clip(np.minimum(time_s, time_s[::-1]) / _RAMP_S, 0.0, 1.0)
    tones = np.sin(2.0 * np.pi * tones_hz[:, None] * time_s)
    return (_AMPLITUDE * ramp * tones).ravel().astype(np.float32)


def word_slots(word: str) -> int:
    """Slots of a word without its marker."""
    return 2 * len(word.encode("utf-8", "replace"))


def decode_words(samples: Samples) -> list[HeardWord]:
    """The words in 16 kHz audio; none in audio that is not this code. A word cut at the end is decoded in part."""
    words: list[HeardWord] = []
    for start, end in _stretches(samples):
        # The last tone may have been clipped a little.
        stretch = np.pad(samples[start:end].astype(np.float64), (0, _HOP_SAMPLES))
        offset = _slot_offset(stretch)
        if offset is not None:
            tones, purity = _read_slots(stretch[offset:])
            words += _words_of(np.where(purity >= _PURE, tones, -1), (start + offset) / SESSION_RATE_HZ)
    return words


def _stretches(samples: Samples) -> Iterator[tuple[int, int]]:
    """Where there is sound: pairs of start and end, in samples, apart by silence of at least half a slot."""
    hops = len(samples) // _HOP_SAMPLES
    squares = samples[: hops * _HOP_SAMPLES].astype(np.float64).reshape(hops, _HOP_SAMPLES) ** 2
    levels = np.sqrt(squares.mean(axis=1))
    sounding = np.flatnonzero(levels > max(_QUIET_RMS, _QUIET_SHARE * levels.max(initial=0.0)))
    if not len(sounding):
        return
    breaks = np.flatnonzero(np.diff(sounding) > _SLOT_SAMPLES // (2 * _HOP_SAMPLES))
    firsts = sounding[np.concatenate([[0], breaks + 1])]
    lasts = sounding[np.concatenate([breaks, [len(sounding) - 1]])]
    for first, last in zip(firsts, lasts, strict=True):
        # One hop more on both sides: the edges of a tone may be too quiet to count.
        yield max(0, int(first) - 1) * _HOP_SAMPLES, min(len(samples), (int(last) + 2) * _HOP_SAMPLES)


def _slot_offset(stretch: NDArray[np.float64]) -> int | None:
    """Where slots begin, in samples, so that they are purest; ``None`` if they are nowhere pure."""
    head = stretch[: _SEARCH_SLOTS * _SLOT_SAMPLES]

    def purity(offset: int) -> float:
        measured = _read_slots(head[offset:])[1]
        return float(measured.mean()) if len(measured) else 0.0

    coarse_step, fine_step = _SEARCH_STEPS_SAMPLES
    coarse = max(range(0, _SLOT_SAMPLES, coarse_step), key=purity)
    if purity(coarse) < _CODED:
        return None
    return max(range(max(0, coarse - coarse_step), coarse + coarse_step, fine_step), key=purity)


def _read_slots(stretch: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For each whole slot its strongest tone and that tone's share of the energy: ``(n,)`` both."""
    count = len(stretch) // _SLOT_SAMPLES
    slots = stretch[: count * _SLOT_SAMPLES].reshape(count, _SLOT_SAMPLES) * _WINDOW
    powers = np.abs(np.fft.rfft(slots, axis=1)[:, _TONE_BINS]) ** 2
    tones = powers.argmax(axis=1)
    pure = (slots**2).sum(axis=1) * _WINDOW.sum() ** 2 / (2.0 * (_WINDOW**2).sum())
    return tones, powers.max(axis=1) / np.maximum(pure, 1e-12)


def _words_of(tones: NDArray[np.intp], origin_s: float) -> Iterator[HeardWord]:
    """Words among tones (-1 where there is none): runs of halves that follow a marker."""
    position = 0
    while position < len(tones):
        start = position
        while position < len(tones) and 0 <= tones[position] < _MARKER:
            position += 1
        halves = tones[start : position - (position - start) % 2].astype(np.uint8)
        follows_marker = start > 0 and tones[start - 1] == _MARKER
        text = bytes((halves[0::2] << 4) | halves[1::2]).decode("utf-8", "ignore")
        if text and follows_marker:
            times_s = [round(origin_s + slot * SLOT_S, 3) for slot in (start, start + len(halves))]
            yield HeardWord(text, times_s[0], times_s[1])
        position = max(position, start + 1)


_WINDOW: Final[NDArray[np.float64]] = np.hanning(_SLOT_SAMPLES)
_TONE_BINS: Final = np.rint(_TONES_HZ * SLOT_S).astype(np.intp)
"""Each tone is a whole number of periods in a slot, so it falls on one line of the slot's spectrum."""
