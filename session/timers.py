"""The turn core's timers, on the machine's clock."""

from __future__ import annotations

from collections.abc import Callable

from anyio import CancelScope
from anyio.abc import TaskGroup

from session.clock import Clock
from session.turn_actions import Timer


class Timers:
    """Those of one session, at most one of each name.

    Args:
        clock: They run on it.
        on_expired: Told the name and the generation of one that is due.
    """

    def __init__(self, clock: Clock, on_expired: Callable[[Timer, int], None]) -> None:
        self._clock = clock
        self._on_expired = on_expired
        self._scopes: dict[Timer, CancelScope] = {}

    def set(self, tasks: TaskGroup, timer: Timer, after_s: float, generation: int) -> None:
        """Let a timer run; an earlier one of its name is stopped."""
        if (running := self._scopes.get(timer)) is not None:
            running.cancel()
        self._scopes[timer] = CancelScope()
        tasks.start_soon(self._run, timer, after_s, generation, self._scopes[timer])

    async def _run(self, timer: Timer, after_s: float, generation: int, scope: CancelScope) -> None:
        with scope:
            await self._clock.sleep(after_s)
            self._on_expired(timer, generation)
