from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

import anyio
import pytest
from anyio import to_thread

from engines.base import Cancellation, Lanes
from engines.scheduler import Priority, Scheduler, Terms
from schemas.errors import ErrorCode, SpeechError

pytestmark = pytest.mark.anyio

T = TypeVar("T")

PATIENCE_S = 10.0


class Work:
    """A piece of engine work that stands still until it is released."""

    def __init__(self) -> None:
        self.cancellation = Cancellation()
        self.entered = threading.Event()
        self._released = threading.Event()

    def __call__(self) -> str:
        self.entered.set()
        assert self._released.wait(PATIENCE_S)
        self.cancellation.check()
        return "done"

    def release(self) -> None:
        self._released.set()

    async def begun(self) -> None:
        assert await to_thread.run_sync(self.entered.wait, PATIENCE_S)


def once(fn: Callable[[], T]) -> Callable[[Sequence[None]], list[T]]:
    """A call for one item at a time."""
    return lambda items: [fn() for _ in items]


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
async def deadline() -> object:
    with anyio.fail_after(PATIENCE_S):
        yield


@pytest.fixture
def work() -> Iterator[Work]:
    work = Work()
    yield work
    work.release()


async def run(
    scheduler: Scheduler, fn: Callable[[], str], priority: Priority = Priority.FINAL, deadline_s: float | None = None
) -> str:
    return await scheduler.run(once(fn), None, Terms(priority=priority, deadline_s=deadline_s), Cancellation())


async def occupy(scheduler: Scheduler, work: Work, priority: Priority = Priority.FINAL) -> None:
    """Hold a worker until the work is released; its end is nobody's concern."""
    with suppress(SpeechError):
        await scheduler.run(once(work), None, Terms(priority=priority), work.cancellation)


async def test_a_job_returns_what_its_function_returns() -> None:
    async with Scheduler("asr") as scheduler:
        assert await run(scheduler, lambda: "text") == "text"
        assert scheduler.stats().completed == 1


async def test_a_crash_of_the_engine_is_engine_failed_and_the_next_job_works() -> None:
    def crash() -> str:
        raise ValueError("secret detail")

    async with Scheduler("asr") as scheduler:
        with pytest.raises(SpeechError) as raised:
            await run(scheduler, crash)
        assert raised.value.code is ErrorCode.ENGINE_FAILED
        assert "secret" not in raised.value.message
        assert await run(scheduler, lambda: "text") == "text"
        assert (scheduler.stats().failed, scheduler.stats().completed) == (1, 1)


async def test_an_error_for_the_caller_reaches_it_unchanged() -> None:
    error = SpeechError(ErrorCode.UNSUPPORTED_LANGUAGE, "No.")

    def refuse() -> str:
        raise error

    async with Scheduler("asr") as scheduler:
        with pytest.raises(SpeechError) as raised:
            await run(scheduler, refuse)
        assert raised.value is error


async def test_the_event_loop_goes_on_while_an_engine_blocks(work: Work) -> None:
    async with Scheduler("asr") as scheduler, anyio.create_task_group() as tasks:
        tasks.start_soon(occupy, scheduler, work)
        await work.begun()
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        assert scheduler.stats().running == 1
        work.release()


async def test_no_more_jobs_run_at_once_than_there_are_workers() -> None:
    works = [Work() for _ in range(3)]
    async with Scheduler("asr", lanes=Lanes(2)) as scheduler, anyio.create_task_group() as tasks:
        for work in works:
            tasks.start_soon(occupy, scheduler, work)
        await works[0].begun()
        await works[1].begun()
        assert (scheduler.stats().running, scheduler.stats().queued) == (2, 1)
        assert not works[2].entered.is_set()
        works[0].release()
        await works[2].begun()
        for work in works:
            work.release()


async def test_the_most_urgent_job_goes_first_and_equals_in_order_of_arrival(work: Work) -> None:
    order: list[str] = []

    async def submit(name: str, priority: Priority) -> None:
        await scheduler.run(once(lambda: order.append(name)), None, Terms(priority=priority), Cancellation())

    async with Scheduler("asr") as scheduler, anyio.create_task_group() as tasks:
        tasks.start_soon(occupy, scheduler, work)
        await work.begun()
        for name, priority in (
            ("file", Priority.BACKGROUND),
            ("partial", Priority.PARTIAL),
            ("first final", Priority.FINAL),
            ("speech", Priority.SPEECH),
            ("second final", Priority.FINAL),
        ):
            tasks.start_soon(submit, name, priority)
            await anyio.wait_all_tasks_blocked()
        work.release()
    assert order == ["first final", "second final", "speech", "partial", "file"]


async def test_background_jobs_leave_one_of_several_workers_free() -> None:
    files = [Work(), Work()]
    async with Scheduler("asr", lanes=Lanes(2)) as scheduler, anyio.create_task_group() as tasks:
        for file in files:
            tasks.start_soon(occupy, scheduler, file, Priority.BACKGROUND)
        await files[0].begun()
        assert await run(scheduler, lambda: "final") == "final"
        assert not files[1].entered.is_set()
        for file in files:
            file.release()
    assert files[1].entered.is_set()


async def test_a_full_queue_rejects_with_the_time_its_jobs_will_take(work: Work) -> None:
    clock = Clock()

    def take_two_seconds() -> str:
        clock.now_s += 2.0
        return ""

    async with Scheduler("asr", max_queued=2, clock=clock) as scheduler, anyio.create_task_group() as tasks:
        await run(scheduler, take_two_seconds)
        tasks.start_soon(occupy, scheduler, work)
        await work.begun()
        for _ in range(2):
            tasks.start_soon(run, scheduler, lambda: "queued")
            await anyio.wait_all_tasks_blocked()
        with pytest.raises(SpeechError) as raised:
            await run(scheduler, lambda: "too many")
        assert raised.value.code is ErrorCode.OVERLOADED
        assert raised.value.retry_after_s == pytest.approx(6.0)
        assert scheduler.stats().rejected == 1
        work.release()
    assert scheduler.stats().completed == 4


async def test_a_full_queue_turns_away_the_least_urgent_job_not_the_newest(work: Work) -> None:
    codes: list[ErrorCode] = []

    async def transcribe_file() -> None:
        with pytest.raises(SpeechError) as raised:
            await run(scheduler, lambda: "file", Priority.BACKGROUND)
        codes.append(raised.value.code)

    async with Scheduler("asr", max_queued=1) as scheduler, anyio.create_task_group() as tasks:
        tasks.start_soon(occupy, scheduler, work)
        await work.begun()
        tasks.start_soon(transcribe_file)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(run, scheduler, lambda: "final")
        await anyio.wait_all_tasks_blocked()
        assert codes == [ErrorCode.OVERLOADED]
        work.release()


async def test_a_job_whose_deadline_passes_in_the_queue_never_reaches_the_engine(work: Work) -> None:
    called = threading.Event()

    def call() -> str:
        called.set()
        return ""

    async with Scheduler("asr") as scheduler, anyio.create_task_group() as tasks:
        tasks.start_soon(occupy, scheduler, work)
        await work.begun()
        with pytest.raises(SpeechError) as raised:
            await run(scheduler, call, deadline_s=anyio.current_time() + 0.01)
        assert raised.value.code is ErrorCode.DEADLINE_EXCEEDED
        assert (scheduler.stats().queued, scheduler.stats().expired) == (0, 1)
        work.release()
    assert not called.is_set()


async def test_a_job_that_is_too_late_when_its_turn_comes_is_not_started(work: Work) -> None:
    clock = Clock()
    called = threading.Event()

    async def submit() -> None:
        with pytest.raises(SpeechError) as raised:
            await scheduler.run(
                once(called.set), None, Terms(priority=Priority.FINAL, deadline_s=clock.now_s + 60.0), Cancellation()
            )
        assert raised.value.code is ErrorCode.DEADLINE_EXCEEDED

    async with Scheduler("asr", clock=clock) as scheduler, anyio.create_task_group() as tasks:
        tasks.start_soon(occupy, scheduler, work)
        await work.begun()
        tasks.start_soon(submit)
        await anyio.wait_all_tasks_blocked()
        clock.now_s += 61.0
        work.release()
    assert not called.is_set()


async def test_a_deadline_that_passes_while_the_engine_works_frees_the_caller_and_stops_the_engine(work: Work) -> None:
    async with Scheduler("asr") as scheduler:
        with pytest.raises(SpeechError) as raised:
            await scheduler.run(
                once(work),
                None,
                Terms(priority=Priority.FINAL, deadline_s=anyio.current_time() + 0.05),
                work.cancellation,
            )
        assert raised.value.code is ErrorCode.DEADLINE_EXCEEDED
        assert work.cancellation.cancelled
        work.release()


async def test_a_caller_cancelled_in_the_queue_gives_its_place_back(work: Work) -> None:
    called = threading.Event()
    cancellation = Cancellation()

    async def submit() -> None:
        with scope:
            await scheduler.run(once(called.set), None, Terms(priority=Priority.FINAL), cancellation)

    async with Scheduler("asr", max_queued=1) as scheduler, anyio.create_task_group() as tasks:
        tasks.start_soon(occupy, scheduler, work)
        await work.begun()
        scope = anyio.CancelScope()
        tasks.start_soon(submit)
        await anyio.wait_all_tasks_blocked()
        assert scheduler.stats().queued == 1
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert (scheduler.stats().queued, scheduler.stats().cancelled) == (0, 1)
        assert cancellation.cancelled
        work.release()
    assert not called.is_set()


async def test_a_caller_cancelled_while_its_job_runs_leaves_at_once_and_the_worker_is_freed_by_the_thread(
    work: Work,
) -> None:
    async with Scheduler("asr") as scheduler:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(occupy, scheduler, work)
            await work.begun()
            tasks.cancel_scope.cancel()
        assert work.cancellation.cancelled
        assert scheduler.stats().running == 1, "the thread is still in the engine"

        next_work = Work()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(occupy, scheduler, next_work)
            await anyio.wait_all_tasks_blocked()
            assert not next_work.entered.is_set()
            work.release()
            await next_work.begun()
            next_work.release()
        assert scheduler.stats().cancelled == 1


async def test_a_job_cancelled_before_its_turn_is_not_started(work: Work) -> None:
    called = threading.Event()
    cancellation = Cancellation()

    async def submit() -> None:
        with pytest.raises(SpeechError) as raised:
            await scheduler.run(once(called.set), None, Terms(priority=Priority.FINAL), cancellation)
        assert raised.value.code is ErrorCode.CANCELLED

    async with Scheduler("asr") as scheduler, anyio.create_task_group() as tasks:
        tasks.start_soon(occupy, scheduler, work)
        await work.begun()
        tasks.start_soon(submit)
        await anyio.wait_all_tasks_blocked()
        cancellation.cancel()
        work.release()
    assert not called.is_set()


async def test_shutdown_rejects_what_waits_and_lets_what_runs_finish(work: Work) -> None:
    results: list[str | ErrorCode] = []

    async def submit(fn: Callable[[], str]) -> None:
        try:
            results.append(await run(scheduler, fn))
        except SpeechError as error:
            results.append(error.code)

    async with anyio.create_task_group() as tasks, Scheduler("asr") as scheduler:
        tasks.start_soon(submit, work)
        await work.begun()
        tasks.start_soon(submit, lambda: "queued")
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(scheduler.aclose)
        await anyio.wait_all_tasks_blocked()
        assert results == [ErrorCode.SHUTTING_DOWN]
        with pytest.raises(SpeechError) as raised:
            await run(scheduler, lambda: "too late")
        assert raised.value.code is ErrorCode.SHUTTING_DOWN
        work.release()
    assert results == [ErrorCode.SHUTTING_DOWN, "done"]


async def test_shutdown_stops_a_job_that_outlasts_the_grace_time() -> None:
    cancellation = Cancellation()
    entered = threading.Event()
    stopped = threading.Event()

    def endless() -> None:
        entered.set()
        while not stopped.wait(0.001):
            try:
                cancellation.check()
            except SpeechError:
                stopped.set()
                raise

    async def submit() -> None:
        with pytest.raises(SpeechError):
            await scheduler.run(once(endless), None, Terms(priority=Priority.FINAL), cancellation)

    async with anyio.create_task_group() as tasks:
        async with Scheduler("asr", grace_s=0.0) as scheduler:
            tasks.start_soon(submit)
            await to_thread.run_sync(entered.wait, PATIENCE_S)
        assert stopped.is_set()
        assert not scheduler.busy


async def test_shutdown_leaves_a_thread_behind_that_does_not_listen(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engines.scheduler._STOP_GRACE_S", 0.0)
    async with anyio.create_task_group() as tasks:
        async with Scheduler("asr", grace_s=0.0) as scheduler:
            tasks.start_soon(occupy, scheduler, work)
            await work.begun()
        assert scheduler.stats().abandoned == 1
        assert scheduler.busy, "its engine must not be freed"


async def test_the_grace_time_holds_even_if_everything_around_is_cancelled(work: Work) -> None:
    scheduler = Scheduler("asr")

    async def serve() -> None:
        async with scheduler, anyio.create_task_group() as callers:
            callers.start_soon(occupy, scheduler, work)
            await anyio.sleep_forever()

    async with anyio.create_task_group() as server:
        server.start_soon(serve)
        await work.begun()
        server.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.wait_all_tasks_blocked()
            assert scheduler.stats().running == 1, "its thread is still waited for"
            work.release()
    stats = scheduler.stats()
    assert (stats.running, stats.abandoned) == (0, 0)


async def test_waiting_and_service_times_are_counted_apart(work: Work) -> None:
    clock = Clock()
    async with Scheduler("asr", clock=clock) as scheduler, anyio.create_task_group() as tasks:
        tasks.start_soon(occupy, scheduler, work)
        await work.begun()
        tasks.start_soon(run, scheduler, lambda: "")
        await anyio.wait_all_tasks_blocked()
        clock.now_s += 3.0
        work.release()
    stats = scheduler.stats()
    assert (stats.wait_s.sum, stats.service_s.sum) == (pytest.approx(3.0), pytest.approx(3.0))
