"""The newest audio of a session, addressed by its place in the stream."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

from schemas.audio import Samples
from schemas.sessions import TurnDetection, TurnSettings
from session.turn_state import TurnState, UserState, has_floor, samples_of_ms

LATE_MS: Final = 500
"""Kept beyond the pre-roll of a possible onset. What is wanted is held by the state; this is for a task that reads its
audio a moment after the state has moved on."""


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


def needed_from(state: TurnState, settings: TurnSettings) -> int:
    """Place of the oldest sample that may still be recognised."""
    overlap = state.overlap or state.unheard
    if has_floor(state) or state.user is UserState.PENDING:
        start_samples = state.start_samples
    else:
        start_samples = state.now_samples if overlap is None else overlap.start_samples
        if settings.detection is TurnDetection.MANUAL:  # all of it may become a turn
            longest_samples = samples_of_ms(settings.max_turn_s * 1000)
            start_samples = min(start_samples, max(state.boundary_samples, state.now_samples - longest_samples))
    return start_samples - samples_of_ms(settings.pre_roll_ms + LATE_MS) - state.voiced_samples
