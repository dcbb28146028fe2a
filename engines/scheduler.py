"""Who may use an engine next.

One :class:`Scheduler` stands before each engine. It has a bounded queue (:mod:`engines.job_queue`) and a number of
workers, threads inside the engine. A worker that comes free takes the most urgent job, and with it what waits of the
same bucket, up to what the engine takes in one call; nothing ever waits for company while a worker is idle. The event
loop only counts and waits.

A *call* is one use of the engine. A *stream* is an iterator of which each step is one use: between steps it holds no
worker, and while its buffer is full it does not even wait for one.

An engine at work cannot be killed, only asked to stop by a job's ``Cancellation``. So a caller may leave at once, but
the worker is free again only when the thread has returned.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self, TypeVar, cast

import anyio
import structlog
from anyio import from_thread, to_thread

from engines.alarm import Alarm
from engines.base import Cancellation, Lanes
from engines.job_queue import JobQueue, Priority, Terms
from engines.jobs import END, Call, Emitted, Items, Job, Outcome, Stream, Use
from engines.memory import is_out_of_memory
from engines.niceness import give_way
from engines.scheduler_stats import Measures, SchedulerStats
from schemas.errors import ErrorCode, SpeechError

__all__ = ["Priority", "Scheduler", "SchedulerStats", "Terms"]

J = TypeVar("J")
T = TypeVar("T")

log = structlog.get_logger("antiphon.scheduler")

_AHEAD_ITEMS: Final = 16
"""How far a stream may run ahead of its consumer: some sentences."""
_MAX_STREAMS: Final = 256
"""Streams that have begun: each holds a buffer, whether or not anybody takes from it."""
_STEP_TIMEOUT_S: Final = 60.0
"""A consumer that waits so long for the next item is told so."""
_STOP_GRACE_S: Final = 1.0
"""At shutdown, how long a job that was asked to stop is waited for."""
_MEMORY_PAUSE_S: Final = 60.0
"""How long batches stay small after the device ran out of memory."""


class Scheduler:
    """Bounded, prioritised, fair access to one engine.

    An async context manager: enter and leave it in the same task. All methods are called on the event loop.

    Args:
        name: The engine's name, for messages and statistics.
        lanes: How much the engine does at once. May be changed later.
        max_queued: How many jobs may wait. With one more, the least urgent of all is turned away.
        max_queued_audio_s: How much audio they may have, unless it is one job alone.
        grace_s: At the end, how long running jobs are waited for before they are asked to stop.
        timeout_s: The time that jobs have which name no deadline.
        tick_s: Calls begin at least so far apart, so that short jobs of many gather.
        clock: Seconds, monotonic. The clock of ``deadline_s``: on asyncio, that of ``anyio.current_time()``.
    """

    def __init__(
        self,
        name: str,
        *,
        lanes: Lanes = Lanes(),  # noqa: B008 (frozen)
        max_queued: int = 32,
        max_queued_audio_s: float = math.inf,
        grace_s: float = 10.0,
        timeout_s: float = math.inf,
        tick_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.lanes = lanes
        self._queue = JobQueue(max_queued, max_queued_audio_s)
        self._grace_s = grace_s
        self._timeout_s = timeout_s
        self._tick_s = tick_s
        self._clock = clock
        self._running: dict[Use, None] = {}
        self._streams: dict[Stream, None] = {}
        self._submitted = 0
        self._abandoned = 0
        self._ended: dict[ErrorCode | None, int] = {}
        self._measures = Measures()
        self._next_start_s = -math.inf
        self._batch_limit = math.inf
        self._batch_limit_until_s = -math.inf
        self._closing = False
        self._news = anyio.Event()
        """A job has ended."""
        self._tasks = anyio.create_task_group()
        self._deadlines = Alarm(self._tasks, clock, self._expire)
        self._tick = Alarm(self._tasks, clock, self._dispatch)
        # Concurrency is bounded by `lanes`; anyio's default limiter is shared with everything else in the process.
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
        """Whether any job waits, holds something of the engine, or has a thread inside it."""
        return bool(len(self._queue) or self._running or self._streams or self._abandoned)

    def stats(self) -> SchedulerStats:
        """A snapshot of the counters; the distributions go on counting."""
        ended = dict(self._ended)
        running = sum(len(use.jobs) for use in self._running)
        return SchedulerStats(
            name=self.name,
            workers=self.lanes.workers,
            max_batch=self.lanes.max_batch,
            queued=len(self._queue),
            queued_audio_s=self._queue.audio_s,
            running=running,
            busy_workers=len(self._running),
            parked=sum(stream.is_parked for stream in self._streams),
            abandoned=self._abandoned,
            completed=ended.pop(None, 0),
            cancelled=ended.pop(ErrorCode.CANCELLED, 0),
            rejected=ended.pop(ErrorCode.OVERLOADED, 0) + ended.pop(ErrorCode.SHUTTING_DOWN, 0),
            expired=ended.pop(ErrorCode.DEADLINE_EXCEEDED, 0),
            failed=sum(ended.values()),
            wait_s=self._measures.wait_s,
            service_s=self._measures.service_s,
            batch_size=self._measures.batch_size,
        )

    async def run(
        self,
        call: Callable[[Sequence[J]], Sequence[T | SpeechError]],
        item: J,
        terms: Terms,
        cancellation: Cancellation,
    ) -> T:
        """Have ``call`` called with this item and others of its bucket, and return this item's result.

        A caller that is cancelled leaves at once; ``cancellation`` tells the engine.

        Args:
            call: The blocking work, which must look at each item's cancellation now and then; one result an item. If
                the device runs out of memory it is called again with half of the items.
            item: What to work on.
            terms: On what terms it waits.
            cancellation: Set here when the caller leaves or the deadline passes.

        Raises:
            SpeechError: ``overloaded`` (with ``retry_after_s``), ``deadline_exceeded``, ``shutting_down``,
                ``engine_failed`` if ``call`` raised anything else than a ``SpeechError``, or what it raised or returned
                for this item.
        """
        job = Call(call, item, terms, cancellation, self._order())
        self._submit(job)
        try:
            await self._wait(job, lambda: False, terms.deadline_s)
        finally:
            self._leave(job, ErrorCode.CANCELLED)
        if job.error is not None:
            raise job.error
        return cast("T", job.result)

    @asynccontextmanager
    async def listen(
        self, call: Callable[[Callable[[T], None]], None], terms: Terms, cancellation: Cancellation
    ) -> AsyncGenerator[AsyncIterator[T]]:
        """Call ``call(emit)`` on a worker, alone, and iterate over what it emits.

        What it emits is kept until it is taken: the worker does not wait for the consumer, so it must not be much.
        Entering waits until it has begun, which it must by ``terms.deadline_s``.

        Raises:
            SpeechError: On entering or while iterating, as :meth:`run`.
        """
        send, receive = anyio.create_memory_object_stream[T](math.inf)

        def emit(item: T) -> None:
            cancellation.check()
            from_thread.run_sync(send.send_nowait, item)

        def call_one(_: Sequence[None]) -> list[None]:
            call(emit)
            return [None]

        with receive:
            job = Call(call_one, None, terms, cancellation, self._order(), on_end=send.close)
            self._submit(job)
            try:
                await self._wait(job, lambda: job.has_begun, terms.deadline_s)
                if job.error is not None:
                    raise job.error
                yield Emitted(job, receive)
            finally:
                self._leave(job, ErrorCode.CANCELLED)

    @asynccontextmanager
    async def stream(
        self,
        start: Callable[[], Iterator[T]],
        terms: Terms,
        cancellation: Cancellation,
        *,
        item_s: Callable[[T], float] = lambda _: 1.0,
        buffer_items: int = _AHEAD_ITEMS,
    ) -> AsyncGenerator[AsyncIterator[T]]:
        """Iterate over the items of the iterator that ``start`` gives, one use of the engine each.

        Entering waits until the first step has begun.

        Args:
            start: Called on a worker, as is every step of what it returns, and its ``close``, if it has one.
            terms: On what terms it waits; ``deadline_s`` is when it must have *begun*.
            cancellation: Set here when the consumer leaves.
            item_s: How long an item plays: of two streams, that goes first whose listener runs dry first.
            buffer_items: How far the engine may run ahead of the consumer.

        Raises:
            SpeechError: On entering or while iterating, as :meth:`run`; ``deadline_exceeded`` also if the next item
                takes a minute.
        """
        stream = Stream(start, terms, cancellation, self._order(), item_s=item_s, buffer_items=buffer_items)
        self._submit(stream)
        try:
            await self._wait(stream, lambda: stream.has_begun, terms.deadline_s)
            if stream.error is not None and not stream.items:
                raise stream.error
            yield Items(stream, self._next_item)
        finally:
            self._leave(stream, ErrorCode.CANCELLED)

    async def aclose(self) -> None:
        """Turn away what waits, let what has begun finish within the grace time, then stop it. Idempotent."""
        self._closing = True
        for job in self._waiting():
            if job.is_new:
                self._queue.remove(job)
                self._end(job, self._error(ErrorCode.SHUTTING_DOWN))
        with anyio.CancelScope(shield=True):
            for patience_s in (self._grace_s, _STOP_GRACE_S):
                with anyio.move_on_after(patience_s):
                    while self._live():
                        if self._news.is_set():
                            self._news = anyio.Event()
                        await self._news.wait()
                for job in self._live():
                    self._leave(job, ErrorCode.SHUTTING_DOWN)
        for use in self._running:
            use.scope.cancel()
        self._deadlines.stop()

    def _order(self) -> int:
        self._submitted += 1
        return self._submitted

    def _waiting(self) -> list[Job]:
        return [cast("Job", job) for job in self._queue]

    def _live(self) -> list[Job]:
        return [*(job for use in self._running for job in use.jobs), *self._streams]

    def _submit(self, job: Job) -> None:
        job.queued_at_s = self._clock()
        if self._closing:
            self._end(job, self._error(ErrorCode.SHUTTING_DOWN))
            return
        if isinstance(job, Stream) and len(self._streams) >= _MAX_STREAMS:
            self._end(job, self._error(ErrorCode.OVERLOADED))
            return
        self._queue.add(job)
        self._dispatch()
        while (surplus := self._queue.surplus(job.queued_at_s)) is not None:
            error = self._error(ErrorCode.OVERLOADED)
            self._queue.remove(surplus)
            self._end(cast("Job", surplus), error)

    async def _wait(self, job: Job, is_there: Callable[[], bool], deadline_s: float | None) -> None:
        job.limit_s = job.queued_at_s + self._timeout_s if deadline_s is None else deadline_s
        self._deadlines.set(job.limit_s)
        while not (job.is_over or is_there()):
            job.news = anyio.Event()
            await job.news.wait()
        job.limit_s = math.inf

    def _expire(self) -> None:
        now_s = self._clock()
        for job in self._waiting() + self._live():
            if job.limit_s <= now_s:
                self._leave(job, ErrorCode.DEADLINE_EXCEEDED)
            elif not job.is_over:
                self._deadlines.set(job.limit_s)

    def _leave(self, job: Job, code: ErrorCode) -> None:
        """The caller waits no longer."""
        if job.is_over:
            return
        job.has_left = True
        job.cancellation.cancel()
        job.error = self._error(code)
        job.tell()
        if job in self._queue and job.is_new:
            self._queue.remove(job)
            self._end(job, job.error)
        elif isinstance(job, Stream) and not job.is_running:
            job.is_closing = True
            job.is_parked = False
            if job not in self._queue:
                self._queue.add(job)
            self._dispatch()

    def _dispatch(self) -> None:
        while len(self._queue) and len(self._running) < self.lanes.workers:
            now_s = self._clock()
            if self._next_start_s > now_s:
                self._tick.set(self._next_start_s)
                return
            for job in self._waiting():
                if job.is_new and (error := self._obstacle(job, now_s)) is not None:
                    self._queue.remove(job)
                    self._end(job, error)
            batch = self._queue.take(
                now_s,
                max_batch=self._max_batch(now_s),
                workers=self.lanes.workers,
                background=not self._background_is_full(),
            )
            if not batch:
                return
            self._next_start_s = now_s + self._tick_s
            self._start(Use([cast("Job", job) for job in batch]), now_s)

    def _obstacle(self, job: Job, now_s: float) -> SpeechError | None:
        if job.cancellation.cancelled:
            return self._error(ErrorCode.CANCELLED)
        if job.terms.deadline_s is not None and job.terms.deadline_s <= now_s:
            return self._error(ErrorCode.DEADLINE_EXCEEDED)
        return None

    def _max_batch(self, now_s: float) -> int:
        limit = self._batch_limit if now_s < self._batch_limit_until_s else math.inf
        return int(min(self.lanes.max_batch, limit))

    def _background_is_full(self) -> bool:
        in_background = sum(use.jobs[0].terms.priority is Priority.BACKGROUND for use in self._running)
        return in_background >= max(1, self.lanes.workers - 1)

    def _start(self, use: Use, now_s: float) -> None:
        self._running[use] = None
        for job in use.jobs:
            job.is_running = True
            if not job.has_begun:
                job.has_begun = True
                self._measures.wait_s.observe(now_s - job.queued_at_s)
                if isinstance(job, Stream):
                    self._streams[job] = None
                if job.awaits_begin:
                    job.tell()
        # In the caller's context, not in that of whoever happened to free the worker: for the logs.
        use.jobs[0].context.run(self._tasks.start_soon, self._execute, use, now_s)

    async def _execute(self, use: Use, started_at_s: float) -> None:
        outcomes: Sequence[Outcome] = ()
        with use.scope:
            outcomes = await to_thread.run_sync(self._work, use.jobs, abandon_on_cancel=True, limiter=self._threads)
        if use.scope.cancelled_caught:
            self._abandoned += 1
            outcomes = cast("list[Outcome]", [self._error(ErrorCode.SHUTTING_DOWN)] * len(use.jobs))
        now_s = self._clock()
        del self._running[use]
        self._measures.call(now_s - started_at_s, len(use.jobs))
        audio_s = sum(job.audio_s(outcome) for job, outcome in zip(use.jobs, outcomes, strict=True))
        if audio_s > 0.0:
            self._measures.work(now_s - started_at_s, audio_s)
        for job, outcome in zip(use.jobs, outcomes, strict=True):
            job.is_running = False
            if isinstance(outcome, SpeechError):
                self._end(job, job.error or outcome)
            elif isinstance(job, Stream) and outcome is not END:
                self._go_on(job, outcome, now_s)
            else:
                if isinstance(job, Call):
                    job.result = outcome
                self._end(job, job.error)
        self._dispatch()

    def _work(self, jobs: Sequence[Job]) -> list[Outcome]:
        """On a worker."""
        give_way()
        return jobs[0].work(jobs, self._judge)

    def _go_on(self, stream: Stream, item: object, now_s: float) -> None:
        """After a step that gave an item."""
        stream.put(item, now_s)
        stream.is_closing = stream.has_left
        stream.is_parked = stream.is_full and not stream.has_left
        if not stream.is_parked:
            self._queue.add(stream)

    async def _next_item(self, stream: Stream) -> object:
        while not stream.items:
            if stream.is_over:
                raise stream.error or StopAsyncIteration
            await self._wait(stream, lambda: bool(stream.items), self._clock() + _STEP_TIMEOUT_S)
        item = stream.items.popleft()
        if stream.is_parked:
            stream.is_parked = False
            self._queue.add(stream)
            self._dispatch()
        return item

    def _judge(self, error: Exception, jobs: int) -> tuple[SpeechError, bool]:
        """What an exception of the engine means. On a worker."""
        if is_out_of_memory(error):
            log.warning("out_of_memory", engine=self.name, jobs=jobs)
            return from_thread.run_sync(self._out_of_memory, jobs), True
        log.error("engine_failed", engine=self.name, exc_info=error)
        return self._error(ErrorCode.ENGINE_FAILED), False

    def _out_of_memory(self, jobs: int) -> SpeechError:
        self._batch_limit = max(1, jobs // 2)
        self._batch_limit_until_s = self._clock() + _MEMORY_PAUSE_S
        message = f"{self.name} ran out of memory; try again later, or with less at once."
        return SpeechError(ErrorCode.OVERLOADED, message, retry_after_s=self._retry_after_s())

    def _end(self, job: Job, error: SpeechError | None) -> None:
        job.error = error
        code = None if error is None else error.code
        self._ended[code] = self._ended.get(code, 0) + 1
        if isinstance(job, Stream):
            self._streams.pop(job, None)
        elif isinstance(job, Call) and job.on_end is not None:
            job.on_end()
        job.has_ended = True
        job.tell()
        self._news.set()

    def _retry_after_s(self) -> float:
        return self._measures.retry_after_s(self._queue.audio_s, self.lanes.workers)

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
