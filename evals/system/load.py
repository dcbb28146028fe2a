"""Load that does not wait for the server: requests come when they come, as people do, however busy it is."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio
import numpy as np
from msgspec import Struct

from schemas.errors import ErrorCode, SpeechError

Ask = Callable[[], Awaitable[float]]
"""The next request: how long it took to what its caller waits for, in seconds. Raises ``SpeechError``."""

_SHED: Final = frozenset({ErrorCode.OVERLOADED, ErrorCode.QUOTA_EXCEEDED})
"""What a full server refuses with."""
_WINDOWS: Final = 10
"""Into which the time is cut in which capacity is measured: how much they differ is its interval."""


_AGAIN_S: Final = 0.25
"""After a refusal that does not say when to come again."""


class Answer(Struct, frozen=True, kw_only=True):
    """How a request ended."""

    latency_s: float
    """From when it was due: what made it wait before it was sent counts too."""
    code: str = ""
    """Of the error; empty if it was served."""
    retry_after_s: float | None = None
    """When to come again, if the refusal says so."""

    @property
    def is_served(self) -> bool:
        """Whether the caller got what it asked for."""
        return not self.code

    @property
    def is_shed(self) -> bool:
        """Whether the server refused it because it was full."""
        return self.code in _SHED

    def meets(self, slo_s: float) -> bool:
        """Whether it was served in time."""
        return self.is_served and self.latency_s <= slo_s


def arrivals_s(per_s: float, for_s: float, rng: np.random.Generator) -> list[float]:
    """When requests are due: a Poisson process."""
    n = int(rng.poisson(per_s * for_s))
    return sorted(map(float, rng.uniform(0.0, for_s, n)))


async def offered(
    ask: Ask,
    due_s: Sequence[float],
    *,
    limit_s: float,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
) -> list[Answer]:
    """Send each request when it is due, whatever became of those before.

    Args:
        ask: Sends one.
        due_s: When, from now; rising.
        limit_s: A request that takes longer is given up: ``deadline_exceeded``.
        clock: Seconds, monotonic.
        sleep: Waits seconds.
    """
    found: dict[int, Answer] = {}
    begun_s = clock()

    async def one(number: int, due: float) -> None:
        late_s = clock() - begun_s - due
        try:
            with anyio.fail_after(limit_s):
                took_s = await ask()
            found[number] = Answer(latency_s=late_s + took_s)
        except TimeoutError:
            found[number] = Answer(latency_s=late_s + limit_s, code=ErrorCode.DEADLINE_EXCEEDED)
        except SpeechError as error:
            waited_s = clock() - begun_s - due
            found[number] = Answer(latency_s=waited_s, code=error.code, retry_after_s=error.retry_after_s)

    async with anyio.create_task_group() as tasks:
        for number, due in enumerate(due_s):
            await sleep(max(0.0, begun_s + due - clock()))
            tasks.start_soon(one, number, due)
    return [found[number] for number in range(len(due_s))]


class Capacity(Struct, frozen=True):
    """What callers get who wait for each answer."""

    done: tuple[int, ...]
    """Requests, window by window: all windows are as long."""
    window_s: float

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return sum(self.done) / (len(self.done) * self.window_s)


async def capacity(
    ask: Ask,
    *,
    callers: int,
    for_s: float,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
) -> Capacity:
    """What so many callers get who each wait for their answer: the most that the server can do.

    What is refused or fails is not in it, and is asked again.

    Raises:
        SpeechError: What the server says, if it serves nothing.
    """
    done_s: list[float] = []
    refused: SpeechError | None = None
    begun_s = clock()

    async def call() -> None:
        nonlocal refused
        while clock() - begun_s < for_s:
            try:
                await ask()
            except SpeechError as error:
                refused = error
                await sleep(error.retry_after_s or _AGAIN_S)
            else:
                done_s.append(clock() - begun_s)

    async with anyio.create_task_group() as tasks:
        for _ in range(callers):
            tasks.start_soon(call)
    if refused is not None and not done_s:
        raise refused
    took_s = clock() - begun_s
    counts, _ = np.histogram(done_s, bins=_WINDOWS, range=(0.0, took_s))
    return Capacity(tuple(int(count) for count in counts), took_s / _WINDOWS)
