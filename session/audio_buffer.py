"""The newest audio of a session, addressed by its place in the stream."""

from __future__ import annotations

from collections import deque

import numpy as np

from schemas.audio import Samples


class AudioBuffer:
    """Holds the samples from ``first`` to ``end``; older ones are dropped by ``trim``."""

    def __init__(self) -> None:
        self._blocks: deque[Samples] = deque()
        self._first = 0
        self._end = 0

    @property
    def first(self) -> int:
        """Place of the oldest sample still held."""
        return self._first

    @property
    def end(self) -> int:
        """Place after the newest sample."""
        return self._end

    def append(self, block: Samples, *, before: Samples | None = None) -> None:
        """Add ``float32, (n,)`` at the end.

        Args:
            block: New audio.
            before: What the newest audio so far is replaced with, as long as that is.
        """
        if before is not None and self._blocks:
            self._blocks[-1] = before
        self._blocks.append(block)
        self._end += len(block)

    def trim(self, keep_from: int) -> None:
        """Drop blocks that lie wholly before ``keep_from``."""
        while self._blocks and self._first + len(self._blocks[0]) <= keep_from:
            self._first += len(self._blocks.popleft())

    def read(self, start: int, end: int) -> Samples:
        """A copy of ``float32, (end - start,)``, less what is not held."""
        start, end = max(start, self._first), min(end, self._end)
        if start >= end:
            return np.zeros(0, np.float32)
        parts: list[Samples] = []
        place = self._first
        for block in self._blocks:
            if place + len(block) > start and place < end:
                parts.append(block[max(0, start - place) : end - place])
            place += len(block)
        return np.concatenate(parts)
