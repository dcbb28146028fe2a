"""Real time, as data that can be injected.

Only playback runs on it: how far the loudspeaker is, how long to wait for the client. Everything about the user's
audio is timed in samples.
"""

from __future__ import annotations

import time
from typing import Protocol

import anyio


class Clock(Protocol):
    """A monotonic clock and its sleep."""

    def now_us(self) -> int:
        """Microseconds since some fixed moment."""
        ...

    async def sleep(self, duration_s: float) -> None:
        """Wait on this clock."""
        ...


class MonotonicClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Microseconds since some fixed moment."""
        return time.monotonic_ns() // 1000

    async def sleep(self, duration_s: float) -> None:
        """Wait in real time."""
        await anyio.sleep(duration_s)


class FakeClock:
    """A clock for tests: time passes when :meth:`advance` is called, and only then."""

    def __init__(self) -> None:
        self._now_us = 1_000_000
        self._sleepers: list[tuple[int, anyio.Event]] = []

    def now_us(self) -> int:
        """Microseconds since some fixed moment."""
        return self._now_us

    async def sleep(self, duration_s: float) -> None:
        """Wait until the clock was advanced by this much."""
        due_us = self._now_us + int(duration_s * 1e6)
        woken = anyio.Event()
        self._sleepers.append((due_us, woken))
        await woken.wait()

    def advance(self, duration_s: float) -> None:
        """Let time pass and wake who is due."""
        self._now_us += int(duration_s * 1e6)
        for due_us, woken in self._sleepers:
            if due_us <= self._now_us:
                woken.set()
        self._sleepers = [(due_us, woken) for due_us, woken in self._sleepers if due_us > self._now_us]
