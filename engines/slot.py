"""One engine's place in the host: loaded or not, and who is using it."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
import structlog
from anyio import to_thread
from anyio.abc import TaskGroup

from engines.base import Engine
from engines.niceness import give_way
from engines.scheduler import Scheduler
from engines.spec import EngineSpec
from schemas.errors import ErrorCode, SpeechError

log = structlog.get_logger("antiphon.engines")

_LOADING_RETRY_S: Final = 5.0
"""A model takes seconds to load."""


class EngineSlot:
    """Loads its engine on first use, once, and frees it only while nobody uses it.

    Args:
        name: The model's name.
        spec: What to load.
        scheduler: Who may use it next.
        tasks: Where loading runs: whoever asked first may be cancelled without failing the others.
        loading: One at a time, for all slots: what memory grew by belongs to one model.
        load_timeout_s: How long a request waits for the engine.
        max_waiting: How many requests may.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        name: str,
        spec: EngineSpec,
        scheduler: Scheduler,
        *,
        tasks: TaskGroup,
        loading: anyio.CapacityLimiter,
        load_timeout_s: float,
        max_waiting: int,
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.spec = spec
        self.scheduler = scheduler
        self.resident_bytes = 0
        self.last_used_s = clock()
        self._tasks = tasks
        self._loading = loading
        self._load_timeout_s = load_timeout_s
        self._max_waiting = max_waiting
        self._clock = clock
        self._engine: Engine | None = None
        self._load: _Load | None = None
        self._users = 0

    @property
    def loaded(self) -> bool:
        """Whether the engine is in memory."""
        return self._engine is not None

    @property
    def busy(self) -> bool:
        """Whether the engine must not be freed."""
        # A user who was cancelled is gone before their thread is; of that only the scheduler knows.
        return self._users > 0 or self._load is not None or self.scheduler.busy

    def using(self, deadline_s: float | None) -> _Using:
        """A context: the engine, loaded, and not freed meanwhile.

        Raises:
            SpeechError: On entering: what loading raised, ``engine_failed``, ``overloaded`` or ``deadline_exceeded``.
        """
        return _Using(self, deadline_s)

    async def take(self, deadline_s: float | None) -> Engine:
        """The engine, which is not freed before :meth:`give_back`. As :meth:`using`."""
        self._users += 1
        try:
            while self._engine is None:
                await self._wait_for_load(deadline_s)
        except BaseException:
            self.give_back()
            raise
        return self._engine

    def give_back(self) -> None:
        """The end of what :meth:`take` began."""
        self._users -= 1
        self.last_used_s = self._clock()

    async def free(self) -> None:
        """Free the engine's memory. Only while it is not busy."""
        engine, self._engine, self.resident_bytes = self._engine, None, 0
        if engine is None:
            return
        try:
            await to_thread.run_sync(engine.close, limiter=self._loading)
        except Exception:
            log.exception("unload_failed", model=self.name)
        else:
            log.info("model_unloaded", model=self.name)

    async def _wait_for_load(self, deadline_s: float | None) -> None:
        if self._load is None:
            self._load = _Load()
            self._tasks.start_soon(self._load_now, self._load)
        load = self._load
        if load.waiting >= self._max_waiting:
            message = f"The model {self.name} is still being loaded; try again later."
            raise SpeechError(ErrorCode.OVERLOADED, message, retry_after_s=_LOADING_RETRY_S)
        load.waiting += 1
        latest_s = anyio.current_time() + self._load_timeout_s
        try:
            with anyio.CancelScope(deadline=min(latest_s, math.inf if deadline_s is None else deadline_s)):
                await load.done.wait()
        finally:
            load.waiting -= 1
        if not load.done.is_set():
            message = f"The model {self.name} could not be loaded in the time given."
            raise SpeechError(ErrorCode.DEADLINE_EXCEEDED, message)
        if load.error is not None:
            # One exception for each who waits: raising adds to its traceback.
            raise SpeechError(load.error.code, load.error.message, param=load.error.param)

    async def _load_now(self, load: _Load) -> None:
        started_s = self._clock()
        load.error = SpeechError(ErrorCode.SHUTTING_DOWN, "The server is stopping; try again later.")
        try:
            engine, self.resident_bytes = await to_thread.run_sync(
                _load_measured, self.spec.load, abandon_on_cancel=True, limiter=self._loading
            )
        except SpeechError as error:
            load.error = error
        except Exception:
            log.exception("load_failed", model=self.name)
            message = f"The model {self.name} could not be loaded; the server's log says why."
            load.error = SpeechError(ErrorCode.ENGINE_FAILED, message)
        else:
            self.scheduler.lanes = engine.lanes
            self._engine = engine
            load.error = None
            log.info("model_loaded", model=self.name, load_s=round(self._clock() - started_s, 3))
        finally:
            self._load = None
            load.done.set()


class _Using:
    """A class, not a generator: every frame of every session comes by here."""

    def __init__(self, slot: EngineSlot, deadline_s: float | None) -> None:
        self._slot = slot
        self._deadline_s = deadline_s

    async def __aenter__(self) -> Engine:
        return await self._slot.take(self._deadline_s)

    async def __aexit__(self, *_: object) -> None:
        self._slot.give_back()


class _Load:
    """One attempt to load, and those who wait for it."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.error: SpeechError | None = None
        self.waiting = 0


def resident_bytes() -> int:
    """Physical memory of this process now; where the system does not say, the most it ever had."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1_024
    return pages * resource.getpagesize()


def _load_measured(load: Callable[[], Engine]) -> tuple[Engine, int]:
    give_way()
    before_bytes = resident_bytes()
    engine = load()
    return engine, max(0, resident_bytes() - before_bytes)
