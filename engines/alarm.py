"""One timer for many points in time."""

from __future__ import annotations

import math
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup


class Alarm:
    """Rings once, at the earliest of the times it was set for; whom that concerns, the one it wakes must know.

    A timer for each who waits would cost more than the voice activity of a frame.

    Args:
        tasks: Where it waits.
        clock: Seconds, monotonic.
        ring: Called on the event loop; may set the alarm again.
    """

    def __init__(self, tasks: TaskGroup, clock: Callable[[], float], ring: Callable[[], None]) -> None:
        self._tasks = tasks
        self._clock = clock
        self._ring = ring
        self._at_s = math.inf
        self._scope = anyio.CancelScope()

    def set(self, at_s: float) -> None:
        """Ring no later than then."""
        if at_s < self._at_s:
            self.stop()
            self._at_s = at_s
            self._scope = anyio.CancelScope()
            self._tasks.start_soon(self._wait, self._scope, at_s - self._clock())

    def stop(self) -> None:
        """Do not ring, unless it is set again."""
        self._at_s = math.inf
        self._scope.cancel()

    async def _wait(self, scope: anyio.CancelScope, delay_s: float) -> None:
        with scope:
            await anyio.sleep(max(delay_s, 0.0))
            self._at_s = math.inf
            self._ring()
