"""Who may use an engine next.

One :class:`Scheduler` stands before each engine. It has a bounded queue, ordered by priority and then by arrival, and
a number of workers: jobs that may run at once, each on a thread of its own. The event loop only counts and waits.

A running job cannot be killed, only asked to stop by its ``Cancellation``. So its caller may leave at once, but its
worker is free again only when the thread has returned.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import copy_context
from enum import IntEnum
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

import anyio
import structlog
from anyio import from_thread, to_thread
from anyio.streams.memory import MemoryObjectReceiveStream
from msgspec import Struct

from engines.base import Cancellation
from schemas.errors import ErrorCode, SpeechError

T = TypeVar("T")

log = structlog.get_logger("antiphon.scheduler")

_SMOOTHING: Final = 0.2
"""Weight of the newest job in the mean service time: about the last ten jobs count."""
_UNMEASURED_RETRY_S: Final = 1.0
_RETRY_BOUNDS_S: Final = (0.1, 60.0)
_AHEAD_ITEMS: Final = 64
"""More than a sentence has pieces: whoever plays in real time must not hold the engine for so long."""
_STOP_GRACE_S: Final = 1.0
"""At shutdown, how long a job that was asked to stop is waited for."""


class Priority(IntEnum):
    """What goes first; the lowest number does."""

    FINAL = 0
    """The transcript an agent is waiting for, and the frame-by-frame work of a session."""
    SPEECH = 1
    """What the agent says."""
    PARTIAL = 2
    """Transcripts of unfinished turns: the next one replaces it."""
    BACKGROUND = 3
    """Files. Where there are several workers, one is always kept free of these."""


class SchedulerStats(Struct, frozen=True, kw_only=True):
    """Counters since start, and what is going on now."""

    name: str
    workers: int
    queued: int
    running: int
    abandoned: int
    """Jobs that did not stop in time at shutdown; their threads are still inside the engine."""
    completed: int
    failed: int
    cancelled: int
    rejected: int
    """Turned away because the queue was full or the server was stopping."""
    expired: int
    """Ended by their deadline."""
    wait_s_sum: float
    """Time that started jobs spent in the queue."""
    service_s_sum: float
    """Time that jobs held a worker."""


class _Job:
    """One call into the engine, from submission until its thread has returned."""

    def __init__(
        self,
        call: Callable[[], None],
        *,
        cancellation: Cancellation,
        priority: Priority,
        deadline_s: float | None,
        queued_at_s: float,
        order: int,
        on_end: Callable[[], None],
    ) -> None:
        self.call = call
        self.cancellation = cancellation
        self.deadline_s = deadline_s
        self.queued_at_s = queued_at_s
        self.priority = priority
        self.on_end = on_end
        self.error: SpeechError | None = None
        self.started = anyio.Event()
        self.done = anyio.Event()
        self.scope = anyio.CancelScope(shield=True)
        self.context = copy_context()
        self._rank = (priority, order)

    def __lt__(self, other: _Job) -> bool:
        return self._rank < other._rank


class Scheduler:
    """Bounded, prioritised access to one engine.

    An async context manager: enter and leave it in the same task. All methods are called on the event loop.

    Args:
        name: The engine's name, for messages and statistics.
        workers: How many jobs run at once. May be changed later.
        max_queued: How many jobs may wait. With one more, the least urgent of all is turned away.
        grace_s: At the end, how long running jobs are waited for before they are asked to stop.
        clock: Seconds, monotonic. The clock of ``deadline_s``.
    """

    def __init__(
        self,
        name: str,
        *,
        workers: int = 1,
        max_queued: int = 32,
        grace_s: float = 10.0,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self.name = name
        self.workers = workers
        self._max_queued = max_queued
        self._grace_s = grace_s
        self._clock = clock
        self._queue: list[_Job] = []
        self._running: set[_Job] = set()
        self._submitted = 0
        self._abandoned = 0
        self._ended: dict[ErrorCode | None, int] = {}
        self._wait_s_sum = 0.0
        self._service_s_sum = 0.0
        self._service_s: float | None = None
        self._closing = False
        self._tasks = anyio.create_task_group()
        # Concurrency is bounded by `workers`; anyio's default limiter is shared with everything else in the process.
        self._threads = anyio.CapacityLimiter(math.inf)

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        await self.aclose()
        return await self._tasks.__aexit__(kind, error, trace)

    @property
    def busy(self) -> bool:
        """Whether any job waits, or has a thread inside the engine."""
        return bool(self._queue or self._running or self._abandoned)

    def stats(self) -> SchedulerStats:
        """A snapshot of the counters."""
        ended = dict(self._ended)
        return SchedulerStats(
            name=self.name,
            workers=self.workers,
            queued=len(self._queue),
            running=len(self._running),
            abandoned=self._abandoned,
            completed=ended.pop(None, 0),
            cancelled=ended.pop(ErrorCode.CANCELLED, 0),
            rejected=ended.pop(ErrorCode.OVERLOADED, 0) + ended.pop(ErrorCode.SHUTTING_DOWN, 0),
            expired=ended.pop(ErrorCode.DEADLINE_EXCEEDED, 0),
            failed=sum(ended.values()),
            wait_s_sum=self._wait_s_sum,
            service_s_sum=self._service_s_sum,
        )

    async def run(
        self, fn: Callable[[], T], *, cancellation: Cancellation, priority: Priority, deadline_s: float | None = None
    ) -> T:
        """Call ``fn`` on a worker thread when its turn comes, and return what it returns.

        A caller that is cancelled leaves at once; ``cancellation`` tells the engine.

        Args:
            fn: The blocking work. It must look at ``cancellation`` now and then.
            cancellation: Set here when the caller leaves or the deadline passes.
            priority: What goes first.
            deadline_s: On the scheduler's clock, when the result must be there; ``None`` is never.

        Raises:
            SpeechError: ``overloaded`` (with ``retry_after_s``), ``deadline_exceeded``, ``shutting_down``,
                ``engine_failed`` if ``fn`` raised anything else than a ``SpeechError``, or what ``fn`` raised.
        """
        results: list[T] = []
        job = self._submit(lambda: results.append(fn()), cancellation, priority, deadline_s)
        try:
            await self._wait_for(job, job.done)
        finally:
            self._leave(job, ErrorCode.CANCELLED)
        if job.error is not None:
            raise job.error
        return results[0]

    @asynccontextmanager
    async def stream(
        self,
        produce: Callable[[Callable[[T], None]], None],
        *,
        cancellation: Cancellation,
        priority: Priority,
        deadline_s: float | None = None,
        buffer_items: int = _AHEAD_ITEMS,
    ) -> AsyncGenerator[AsyncIterator[T]]:
        """Run ``produce(emit)`` on a worker thread and iterate over what it emits.

        Entering waits until the job has started. ``emit`` blocks the thread while ``buffer_items`` wait to be
        taken, and raises ``SpeechError(cancelled)`` once the consumer has left.

        Args:
            produce: The blocking work.
            cancellation: Set here when the consumer leaves.
            priority: What goes first.
            deadline_s: On the scheduler's clock, when the job must have *started*.
            buffer_items: How far the engine may run ahead of the consumer.

        Raises:
            SpeechError: On entering or while iterating, as :meth:`run`.
        """
        send, receive = anyio.create_memory_object_stream[T](buffer_items)

        def emit(item: T) -> None:
            cancellation.check()
            try:
                from_thread.run(send.send, item)
            except anyio.BrokenResourceError:
                raise SpeechError(ErrorCode.CANCELLED, "The request was cancelled.") from None

        with receive:
            job = self._submit(lambda: produce(emit), cancellation, priority, deadline_s, on_end=send.close)
            try:
                await self._wait_for(job, job.started)
                if job.error is not None:
                    raise job.error
                yield _Items(job, receive)
            finally:
                self._leave(job, ErrorCode.CANCELLED)

    async def aclose(self) -> None:
        """Turn away what waits, let what runs finish within the grace time, then stop it. Idempotent."""
        self._closing = True
        for job in self._queue:
            self._end(job, self._error(ErrorCode.SHUTTING_DOWN))
        self._queue.clear()
        with anyio.CancelScope(shield=True):
            for patience_s in (self._grace_s, _STOP_GRACE_S):
                with anyio.move_on_after(patience_s):
                    for job in tuple(self._running):
                        await job.done.wait()
                for job in self._running:
                    job.cancellation.cancel()
        for job in self._running:
            job.scope.cancel()

    def _submit(
        self,
        call: Callable[[], None],
        cancellation: Cancellation,
        priority: Priority,
        deadline_s: float | None,
        *,
        on_end: Callable[[], None] = lambda: None,
    ) -> _Job:
        self._submitted += 1
        job = _Job(
            call,
            cancellation=cancellation,
            priority=priority,
            deadline_s=deadline_s,
            queued_at_s=self._clock(),
            order=self._submitted,
            on_end=on_end,
        )
        if self._closing:
            self._end(job, self._error(ErrorCode.SHUTTING_DOWN))
            return job
        heapq.heappush(self._queue, job)
        self._dispatch()
        if len(self._queue) > self._max_queued:
            least_urgent = max(self._queue)
            self._drop(least_urgent, ErrorCode.OVERLOADED)
        return job

    async def _wait_for(self, job: _Job, event: anyio.Event) -> None:
        remaining_s = math.inf if job.deadline_s is None else job.deadline_s - self._clock()
        with anyio.CancelScope(deadline=anyio.current_time() + remaining_s):
            await event.wait()
        if not event.is_set():
            self._leave(job, ErrorCode.DEADLINE_EXCEEDED)

    def _leave(self, job: _Job, code: ErrorCode) -> None:
        """The caller waits no longer."""
        if job.done.is_set():
            return
        job.cancellation.cancel()
        if job in self._running:
            job.error = job.error or self._error(code)
        else:
            self._drop(job, code)

    def _drop(self, job: _Job, code: ErrorCode) -> None:
        self._queue.remove(job)
        heapq.heapify(self._queue)
        self._end(job, self._error(code))

    def _dispatch(self) -> None:
        while self._queue and len(self._running) < self.workers:
            # It is last in the queue's order, so behind it nothing else waits.
            if self._queue[0].priority is Priority.BACKGROUND and self._background_is_full():
                return
            job = heapq.heappop(self._queue)
            if job.cancellation.cancelled:
                self._end(job, self._error(ErrorCode.CANCELLED))
            elif job.deadline_s is not None and job.deadline_s <= self._clock():
                self._end(job, self._error(ErrorCode.DEADLINE_EXCEEDED))
            else:
                self._running.add(job)
                # In the caller's context, not in that of whoever happened to free the worker: for the logs.
                job.context.run(self._tasks.start_soon, self._execute, job)

    def _background_is_full(self) -> bool:
        in_background = sum(job.priority is Priority.BACKGROUND for job in self._running)
        return in_background >= max(1, self.workers - 1)

    async def _execute(self, job: _Job) -> None:
        started_at_s = self._clock()
        self._wait_s_sum += started_at_s - job.queued_at_s
        job.started.set()
        error: SpeechError | None = None
        with job.scope:
            try:
                await to_thread.run_sync(job.call, abandon_on_cancel=True, limiter=self._threads)
            except SpeechError as failure:
                error = failure
            except Exception:
                log.exception("engine_failed", engine=self.name)
                error = self._error(ErrorCode.ENGINE_FAILED)
        if job.scope.cancelled_caught:
            self._abandoned += 1
            error = self._error(ErrorCode.SHUTTING_DOWN)
        self._measure(self._clock() - started_at_s)
        self._running.discard(job)
        self._end(job, job.error or error)
        self._dispatch()

    def _measure(self, service_s: float) -> None:
        self._service_s_sum += service_s
        mean_s = service_s if self._service_s is None else self._service_s
        self._service_s = mean_s + _SMOOTHING * (service_s - mean_s)

    def _end(self, job: _Job, error: SpeechError | None) -> None:
        job.error = error
        code = None if error is None else error.code
        self._ended[code] = self._ended.get(code, 0) + 1
        job.started.set()
        job.done.set()
        job.on_end()

    def _error(self, code: ErrorCode) -> SpeechError:
        match code:
            case ErrorCode.OVERLOADED:
                message = f"{self.name} has too much to do; try again later."
                return SpeechError(code, message, retry_after_s=self._retry_after_s())
            case ErrorCode.DEADLINE_EXCEEDED:
                return SpeechError(code, f"{self.name} could not finish in the time given.")
            case ErrorCode.SHUTTING_DOWN:
                return SpeechError(code, "The server is stopping; try again later.")
            case ErrorCode.CANCELLED:
                return SpeechError(code, "The request was cancelled.")
            case _:
                return SpeechError(code, f"{self.name} failed; the server's log says how.")

    def _retry_after_s(self) -> float:
        """How long the jobs now waiting and one more will take, at the measured rate."""
        if self._service_s is None:
            return _UNMEASURED_RETRY_S
        lowest_s, highest_s = _RETRY_BOUNDS_S
        waiting_s = (len(self._queue) + 1) * self._service_s / self.workers
        return round(min(max(waiting_s, lowest_s), highest_s), 2)


class _Items(Generic[T]):
    """What a stream has emitted; its error, if any, comes after the last item."""

    def __init__(self, job: _Job, received: MemoryObjectReceiveStream[T]) -> None:
        self._job = job
        self._received = received

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self._received.receive()
        except anyio.EndOfStream:
            if self._job.error is not None:
                raise self._job.error from None
            raise StopAsyncIteration from None
