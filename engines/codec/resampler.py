"""Sample-rate conversion.

One converter for everything: soxr at its HQ setting (stop band beyond 16-bit noise), streamed, so that audio
pushed in pieces of any size comes out the same as in one piece. Everything here blocks for as long as the samples
take; call it on a worker thread when there are many of them.
"""

from __future__ import annotations

from typing import Final, cast

import numpy as np
import soxr

from schemas.audio import Samples

_QUALITY: Final = "HQ"
_EMPTY: Final[Samples] = np.zeros(0, dtype=np.float32)


class Resampler:
    """Converts one stream of mono audio from one rate to another.

    Equal rates pass samples through untouched. Push pieces of any size, then :meth:`flush` once; nothing may be
    pushed after. The whole output is as long as the input in seconds, to within one sample.

    Args:
        from_hz: Rate of what is pushed.
        to_hz: Rate of what comes out.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self.from_hz = from_hz
        self.to_hz = to_hz
        self._stream = (
            None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality=_QUALITY)
        )

    def push(self, samples: Samples) -> Samples:
        """What is ready after these samples: ``float32, (m,)``, often less than was pushed, sometimes nothing."""
        if self._stream is None:
            return samples
        return cast(Samples, self._stream.resample_chunk(samples))

    def flush(self) -> Samples:
        """The rest, once everything was pushed."""
        if self._stream is None:
            return _EMPTY
        return cast(Samples, self._stream.resample_chunk(_EMPTY, last=True))


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """A whole piece of audio, ``float32, (n,)`` at ``from_hz``, at another rate."""
    if from_hz == to_hz:
        return samples
    resampler = Resampler(from_hz, to_hz)
    return np.concatenate((resampler.push(samples), resampler.flush()))
