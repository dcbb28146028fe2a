"""What a scheduler runs: calls, and streams of steps. Here is what their workers do; when, the scheduler decides."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import copy_context
from typing import Any, Final, Generic, Self, TypeVar, cast

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from engines.base import Cancellation
from engines.job_queue import Terms, Waiting
from schemas.errors import SpeechError

T = TypeVar("T")

Outcome = Any
"""What one use of the engine gave one job: a result, a ``SpeechError``, or :data:`END`."""
END: Final = object()
"""A stream has no more items."""

Judge = Callable[[Exception, int], tuple[SpeechError, bool]]
"""What an exception of the engine, working on so many jobs, means to callers; and whether fewer at once may do."""


class Job(Waiting, ABC):
    """One caller's work, from submission until no thread is in the engine for it."""

    def __init__(self, terms: Terms, cancellation: Cancellation, order: int) -> None:
        super().__init__(terms, order)
        self.cancellation = cancellation
        self.queued_at_s = 0.0
        self.has_begun = False
        self.is_running = False
        self.awaits_begin = False
        """Whether it is news for its caller that it has begun."""
        self.has_left = False
        """Whether its caller waits no longer."""
        self.error: SpeechError | None = None
        self.has_ended = False
        self.limit_s = math.inf
        """Until when its caller waits for what it waits for now."""
        self.news: anyio.Event | None = None
        """For its caller, while it waits."""
        self.context = copy_context()

    @abstractmethod
    def work(self, jobs: Sequence[Job], judge: Judge) -> list[Outcome]:
        """Use the engine for these jobs, of which this is the first. On a worker."""

    @abstractmethod
    def audio_s(self, outcome: Outcome) -> float:
        """How much audio that outcome stands for."""

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more for its caller to wait for."""
        return self.has_ended or self.has_left

    def tell(self) -> None:
        """There is news for its caller."""
        if self.news is not None:
            self.news.set()


class Call(Job):
    """One use of the engine.

    Args:
        call: Takes the items of a batch, gives one result each.
        item: This job's.
        on_end: Called when the job has ended.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Any]], Sequence[Any]],
        item: object,
        terms: Terms,
        cancellation: Cancellation,
        order: int,
        *,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(terms, cancellation, order)
        self._call = call
        self.item = item
        self.on_end = on_end
        self.awaits_begin = on_end is not None
        self.result: Any = None

    def work(self, jobs: Sequence[Job], judge: Judge) -> list[Outcome]:
        """One outcome a job; a batch that is too big for the device's memory is done in halves."""
        try:
            outcomes = self._call([job.item for job in jobs if isinstance(job, Call)])
        except SpeechError as error:
            return [error] * len(jobs)
        except Exception as error:  # noqa: BLE001 (the boundary to the engines' libraries)
            failure, may_do_in_halves = judge(error, len(jobs))
            if len(jobs) == 1 or not may_do_in_halves:
                return [failure] * len(jobs)
            half = len(jobs) // 2
            return [*self.work(jobs[:half], judge), *self.work(jobs[half:], judge)]
        if len(outcomes) != len(jobs):
            failure, _ = judge(ValueError(f"{len(outcomes)} results for {len(jobs)} jobs"), len(jobs))
            return [failure] * len(jobs)
        return list(outcomes)

    def audio_s(self, outcome: Outcome) -> float:
        """As it was announced; failures are no measure of the engine."""
        return 0.0 if isinstance(outcome, SpeechError) else self.terms.audio_s


class Stream(Job):
    """An iterator, of which each step is one use of the engine.

    Args:
        start: Gives the iterator. On a worker, as are its steps.
        item_s: How long an item plays.
        buffer_items: How many may wait for the consumer.
    """

    def __init__(
        self,
        start: Callable[[], Iterator[Any]],
        terms: Terms,
        cancellation: Cancellation,
        order: int,
        *,
        item_s: Callable[[Any], float],
        buffer_items: int,
    ) -> None:
        super().__init__(terms, cancellation, order)
        self.awaits_begin = True
        self._start = start
        self._item_s = item_s
        self._buffer_items = buffer_items
        self._iterator: Iterator[Any] | None = None
        self.items: deque[Any] = deque()
        self.is_parked = False

    @property
    def is_full(self) -> bool:
        """Whether the consumer must take something before the next step."""
        return len(self.items) >= self._buffer_items

    def work(self, jobs: Sequence[Job], judge: Judge) -> list[Outcome]:
        """The next item, or :data:`END`."""
        assert len(jobs) == 1
        try:
            if self._iterator is None:
                self._iterator = self._start()
            if self.is_closing:
                close = getattr(self._iterator, "close", None)
                if close is not None:
                    close()
                return [END]
            return [next(self._iterator, END)]
        except SpeechError as error:
            return [error]
        except Exception as error:  # noqa: BLE001 (the boundary to the engines' libraries)
            return [judge(error, 1)[0]]

    def audio_s(self, outcome: Outcome) -> float:
        """How long the item plays."""
        return 0.0 if outcome is END or isinstance(outcome, SpeechError) else self._item_s(outcome)

    def put(self, item: object, now_s: float) -> None:
        """An item for the consumer, who is taken to play it after those before it."""
        self.due_s = max(now_s, self.due_s or now_s) + self._item_s(item)
        self.items.append(item)
        self.tell()


class Use:
    """One use of the engine, by one thread, for one or several jobs."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self.scope = anyio.CancelScope(shield=True)


class Emitted(Generic[T]):
    """What a call has emitted; its error, if any, comes after the last item."""

    def __init__(self, job: Job, received: MemoryObjectReceiveStream[T]) -> None:
        self._job = job
        self._received = received

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self._received.receive()
        except anyio.EndOfStream:
            raise self._job.error or StopAsyncIteration from None


class Items(Generic[T]):
    """The items of a stream; its error, if any, comes after the last."""

    def __init__(self, stream: Stream, next_item: Callable[[Stream], Awaitable[object]]) -> None:
        self._stream = stream
        self._next_item = next_item

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        return cast("T", await self._next_item(self._stream))
