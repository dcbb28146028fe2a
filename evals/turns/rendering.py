"""From a line of a dialogue to sound, with what is true of it in samples.

A hold is made by cutting the speech of the whole sentence between two words: a fragment said by itself would fall at
its end, as if it were over.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from evals.cache import Cache
from evals.turns.dialogue import Hold, UserLine
from evals.turns.instruments import Speech, Voices
from schemas.audio import SESSION_RATE_HZ, Samples, float_from_pcm16, pcm16_from_float
from schemas.speech import SpokenWord

_FRAME_SAMPLES: Final = SESSION_RATE_HZ // 100
_SOUNDING_DB: Final = -40.0
"""Below the loudest frame: quieter frames at the edges are breath, and padding of the voice."""
_SEARCH_SAMPLES: Final = SESSION_RATE_HZ * 40 // 1000
"""How far from the boundary of words the quietest place to cut is looked for."""
_FADE_SAMPLES: Final = SESSION_RATE_HZ * 8 // 1000
_BEFORE_FILLER_S: Final = 0.15
_HOLD_QUANTILES: Final = (
    (0.0, 0.2),
    (0.444, 0.3),
    (0.783, 0.6),
    (0.90, 1.0),
    (0.95, 1.6),
    (1.0, 3.0),
)
"""Share of holds up to a length in seconds, as the VAD baseline of eot-bench finds them in English conversations:
55.6 % are longer than 300 ms, 21.7 % than 600 ms, 10 % than 1 s, 5 % than 1.6 s; shorter ones than 200 ms do not
count. (https://github.com/livekit/eot-bench, table of results.)"""


class Span(Struct, frozen=True):
    """A stretch of audio."""

    start_samples: int
    end_samples: int

    @property
    def duration_s(self) -> float:
        """Its length."""
        return (self.end_samples - self.start_samples) / SESSION_RATE_HZ

    def shifted(self, samples: int) -> Span:
        """The same, later."""
        return Span(self.start_samples + samples, self.end_samples + samples)


class SpokenLine(Struct, frozen=True, eq=False):
    """A line as it sounds. It begins with the first sound and ends with the last."""

    text: str
    samples: Samples
    """``float32, (n,)``, 16 kHz."""
    holds: tuple[Span, ...] = ()
    """Silences in which the turn is not over."""
    words: tuple[SpokenWord, ...] = ()
    """Without fillers."""


class _Kept(Struct, frozen=True):
    pcm16: bytes
    words: tuple[SpokenWord, ...]


class Renderer:
    """Speaks lines. What a voice has said once is kept in the cache.

    Args:
        voices: Speak what is not in the cache.
        cache: Of speech.
    """

    def __init__(self, voices: Voices, cache: Cache) -> None:
        self._voices = voices
        self._cache = cache

    async def speak(self, text: str, voice: str) -> Speech:
        """A text without pauses, trimmed to what sounds."""
        key = self._cache.key("speech", self._voices.version, voice, text)
        kept = self._cache.get(key)
        if kept is None:
            made = await self._voices.speak(text, voice)
            kept = msgspec.msgpack.encode(_Kept(pcm16_from_float(made.samples), made.words))
            self._cache.put(key, kept)
        # Also the first time: to the last bit what the cache gives later.
        found = msgspec.msgpack.decode(kept, type=_Kept)
        speech = Speech(float_from_pcm16(found.pcm16), found.words)
        start, end = sounding(speech.samples)
        return Speech(speech.samples[start:end], tuple(_moved(word, -start) for word in speech.words))

    async def render(self, line: UserLine, voice: str, rng: np.random.Generator) -> SpokenLine:
        """A line with its holds; the lengths left open are drawn."""
        speech = await self.speak(line.text, voice)
        fillers = {
            hold.filler: (await self.speak(f"{hold.filler},", voice)).samples for hold in line.holds if hold.filler
        }
        return with_holds(line, speech, fillers, rng)


def with_holds(line: UserLine, speech: Speech, fillers: dict[str, Samples], rng: np.random.Generator) -> SpokenLine:
    """Speech of a whole line, cut where its holds are, with silence between."""
    cuts = [_cut_samples(line, hold, speech) for hold in line.holds]
    parts: list[Samples] = []
    holds: list[Span] = []
    words: list[SpokenWord] = []
    length = 0

    def add(samples: Samples) -> None:
        nonlocal length
        parts.append(samples)
        length += len(samples)

    for number, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(speech.samples)], strict=True)):
        piece = speech.samples[begin:end]
        first, last = sounding(piece)
        shift = length - begin - first
        words += [
            _moved(word, shift)
            for word in speech.words
            if begin <= (word.start_s + word.end_s) / 2 * SESSION_RATE_HZ < end
        ]
        add(_faded(piece[first:last], at_start=number > 0, at_end=number < len(cuts)))
        if number == len(cuts):
            break
        hold = line.holds[number]
        if hold.filler:
            add(_silence(_BEFORE_FILLER_S))
            add(fillers[hold.filler])
        start = length
        add(_silence(draw_hold_s(rng) if hold.silence_s is None else hold.silence_s))
        holds.append(Span(start, length))
    return SpokenLine(line.text, np.concatenate(parts), tuple(holds), tuple(words))


def draw_hold_s(rng: np.random.Generator) -> float:
    """A length of a hold, as people have them."""
    shares, lengths = zip(*_HOLD_QUANTILES, strict=True)
    return float(np.interp(rng.random(), shares, lengths))


def share_of_holds_longer(silence_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of holds that last longer, for each silence: of those whose length is drawn."""
    shares, lengths = zip(*_HOLD_QUANTILES, strict=True)
    return 1 - np.interp(silence_s, lengths, shares)


def sounding(samples: Samples) -> tuple[int, int]:
    """The first sample that sounds, and the one after the last; all of it where nothing is louder than the rest."""
    frames = len(samples) // _FRAME_SAMPLES
    if not frames:
        return 0, len(samples)
    levels = _levels(samples[: frames * _FRAME_SAMPLES], _FRAME_SAMPLES)
    loud = np.flatnonzero(levels > levels.max() * 10 ** (_SOUNDING_DB / 20))
    if not len(loud):
        return 0, len(samples)
    end = (int(loud[-1]) + 1) * _FRAME_SAMPLES
    return int(loud[0]) * _FRAME_SAMPLES, len(samples) if loud[-1] == frames - 1 else end


def _cut_samples(line: UserLine, hold: Hold, speech: Speech) -> int:
    """The quietest place near the boundary before the word that follows the hold."""
    offset = len(" ".join(line.text.split()[: hold.after_word]))
    before = [word for word in speech.words if word.text_start < offset]
    after = [word for word in speech.words if word.text_start >= offset]
    if not before or not after:
        raise ValueError(f"the voice gave no word on one side of a hold in {line.text!r}")
    boundary = round((before[-1].end_s + after[0].start_s) / 2 * SESSION_RATE_HZ)
    begin = max(0, boundary - _SEARCH_SAMPLES)
    hop = _FADE_SAMPLES
    around = speech.samples[begin : boundary + _SEARCH_SAMPLES]
    around = around[: len(around) // hop * hop]
    return begin + int(np.argmin(_levels(around, hop))) * hop + hop // 2


def _levels(samples: Samples, frame_samples: int) -> Samples:
    return np.sqrt(np.mean(samples.reshape(-1, frame_samples) ** 2, axis=1))


def _faded(samples: Samples, *, at_start: bool, at_end: bool) -> Samples:
    faded = samples.copy()
    fade = np.linspace(0.0, 1.0, min(_FADE_SAMPLES, len(faded) // 2), dtype=np.float32)
    if at_start:
        faded[: len(fade)] *= fade
    if at_end:
        faded[len(faded) - len(fade) :] *= fade[::-1]
    return faded


def _silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * SESSION_RATE_HZ), np.float32)


def _moved(word: SpokenWord, samples: int) -> SpokenWord:
    shift_s = samples / SESSION_RATE_HZ
    return msgspec.structs.replace(word, start_s=word.start_s + shift_s, end_s=word.end_s + shift_s)
