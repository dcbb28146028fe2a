"""The audio of one item: what is made goes in at the end, what is sent comes out, and can be wound back.

Sans-I/O. Places are samples at the rate of the audio.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

from schemas.audio import Samples

KEPT_MS: Final = 5_000
"""Audio kept from before the loudspeaker's position. No word is longer, and winding back goes to the start of one."""


class Tape:
    """One item's.

    Args:
        rate_hz: Of the audio.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._blocks: deque[Samples] = deque()
        self._first = 0
        """Place of the oldest sample still held."""
        self._end = 0
        self.place = 0
        """What comes out next."""

    @property
    def place_ms(self) -> int:
        """The same in milliseconds."""
        return self.place * 1000 // self._rate_hz

    @property
    def has_more(self) -> bool:
        """Whether there is anything to come out."""
        return self.place < self._end

    def append(self, samples: Samples) -> None:
        """Add ``float32, (n,)`` at the end."""
        if len(samples):
            self._blocks.append(samples)
            self._end += len(samples)

    def take(self, count: int) -> Samples:
        """The next ``count`` samples, or what there is."""
        samples = self.read(self.place, count)
        self.place += len(samples)
        return samples

    def read(self, place: int, count: int) -> Samples:
        """Up to ``count`` samples from a place on, as far as they are held; nothing from before that."""
        parts: list[Samples] = []
        begin = self._first
        for block in self._blocks:
            if begin + len(block) > place and begin < place + count:
                parts.append(block[max(0, place - begin) : place + count - begin])
            begin += len(block)
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def wind_back(self, place_ms: int) -> None:
        """Let what was sent from a place on come out again, as far as it is held."""
        self.place = max(self._first, min(self.place, place_ms * self._rate_hz // 1000))

    def trim(self, position_ms: float) -> None:
        """Forget what lies far behind the loudspeaker's position."""
        keep_from = min(self.place, int((position_ms - KEPT_MS) * self._rate_hz / 1000))
        while self._blocks and self._first + len(self._blocks[0]) <= keep_from:
            self._first += len(self._blocks.popleft())
