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
