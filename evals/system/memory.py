"""How much memory a server takes, seen from outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import anyio
import psutil
from anyio import to_thread

_EVERY_S: Final = 0.5


def memory_mb(pid: int) -> float:
    """Of a process and its children: their proportional set size; where there is none, the resident set."""
    process = psutil.Process(pid)
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += _bytes(one)
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def _bytes(process: psutil.Process) -> int:
    try:
        found = cast("Any", process.memory_full_info())
        return int(getattr(found, "pss", 0) or found.uss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)


class Watch:
    """Looks at the memory of a process, again and again.

    Args:
        pid: Its number; ``None`` sees nothing.
        sleep: Waits seconds.
    """

    def __init__(self, pid: int | None, sleep: Callable[[float], Awaitable[None]] = anyio.sleep) -> None:
        self._pid = pid
        self._sleep = sleep
        self.seen_mb: list[float] = []

    async def run(self) -> None:
        """Look until cancelled, or until the process is gone."""
        while self._pid is not None:
            try:
                self.seen_mb.append(await to_thread.run_sync(memory_mb, self._pid))
            except psutil.NoSuchProcess:
                return
            await self._sleep(_EVERY_S)
