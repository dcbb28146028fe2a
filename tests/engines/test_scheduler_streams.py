from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress

import anyio
import pytest
from anyio import to_thread, wait_all_tasks_blocked

from engines.base import Cancellation, Lanes
from engines.fake import FakeBehaviour
from engines.scheduler import Priority, Scheduler, Terms
from schemas.errors import ErrorCode, SpeechError

pytestmark = pytest.mark.anyio

PATIENCE_S = 10.0
SPEECH = Terms(priority=Priority.SPEECH)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
async def deadline() -> AsyncGenerator[None]:
    with anyio.fail_after(PATIENCE_S):
        yield


@pytest.fixture
def engine() -> Iterator[FakeBehaviour]:
    """Stands still while it is told to."""
    engine = FakeBehaviour()
    engine.hang()
    yield engine
    engine.go_on()


def numbers() -> Iterator[int]:
    yield from range(1_000)


async def occupy(scheduler: Scheduler, engine: FakeBehaviour) -> None:
    def call(items: Sequence[None]) -> list[None]:
        engine.spend(1.0)
        return list(items)

    with suppress(SpeechError):
        await scheduler.run(call, None, Terms(), Cancellation())


async def entered(engine: FakeBehaviour) -> None:
    assert await to_thread.run_sync(engine.called.wait, PATIENCE_S)


async def test_a_stream_gives_the_items_in_order() -> None:
    async with Scheduler("tts") as scheduler:
        async with scheduler.stream(lambda: iter(range(100)), SPEECH, Cancellation()) as items:
            assert [item async for item in items] == list(range(100))
        assert scheduler.stats().completed == 1


async def test_a_stream_raises_the_engines_error_after_the_items_before_it() -> None:
    def crash() -> Iterator[int]:
        yield 1
        raise ValueError

    async with Scheduler("tts") as scheduler:
        async with scheduler.stream(crash, SPEECH, Cancellation()) as items:
            assert await anext(items) == 1
            with pytest.raises(SpeechError) as raised:
                await anext(items)
        assert raised.value.code is ErrorCode.ENGINE_FAILED


async def test_a_consumer_that_leaves_closes_the_iterator_on_a_worker() -> None:
    cancellation = Cancellation()
    closed_by: list[threading.Thread] = []

    def endless() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed_by.append(threading.current_thread())

    async with Scheduler("tts") as scheduler:
        async with scheduler.stream(endless, SPEECH, cancellation) as items:
            assert await anext(items) == 0
        assert cancellation.cancelled
        while scheduler.busy:
            await anyio.lowlevel.checkpoint()
        assert scheduler.stats().cancelled == 1
    assert len(closed_by) == 1
    assert closed_by[0] is not threading.main_thread()


async def test_a_consumer_that_leaves_while_a_step_runs_closes_the_iterator_after_it(engine: FakeBehaviour) -> None:
    closed = threading.Event()

    def stuck() -> Iterator[int]:
        try:
            while True:
                engine.spend(1.0)
                yield 1
        finally:
            closed.set()

    async with Scheduler("tts") as scheduler:
        async with scheduler.stream(stuck, SPEECH, Cancellation()):
            await entered(engine)
        assert not closed.is_set()
        engine.go_on()
        assert await to_thread.run_sync(closed.wait, PATIENCE_S)


async def test_an_iterator_that_cannot_be_closed_is_let_go_of() -> None:
    async with Scheduler("tts") as scheduler:
        async with scheduler.stream(lambda: iter(range(10**9)), SPEECH, Cancellation()) as items:
            await anext(items)
        while scheduler.busy:
            await anyio.lowlevel.checkpoint()


async def test_the_engine_runs_no_further_ahead_than_the_buffer() -> None:
    made = 0

    def count() -> Iterator[int]:
        nonlocal made
        for number in range(1_000):
            made = number + 1
            yield number

    async with (
        Scheduler("tts") as scheduler,
        scheduler.stream(count, SPEECH, Cancellation(), buffer_items=3) as items,
    ):
        async for item in items:
            while not scheduler.stats().parked:
                await anyio.lowlevel.checkpoint()
            assert made == item + 1 + 3
            if item == 3:
                break


async def test_readers_that_have_stopped_reading_hold_no_worker() -> None:
    async with Scheduler("tts", lanes=Lanes(workers=2)) as scheduler, AsyncExitStack() as stalled:
        for _ in range(3):
            items = await stalled.enter_async_context(scheduler.stream(numbers, SPEECH, Cancellation()))
            await anext(items)
        while scheduler.stats().parked < 3:
            await anyio.lowlevel.checkpoint()
        assert (scheduler.stats().busy_workers, scheduler.stats().queued) == (0, 0)
        async with scheduler.stream(lambda: iter("abc"), SPEECH, Cancellation()) as items:
            assert [item async for item in items] == ["a", "b", "c"]


async def test_a_first_item_goes_before_the_later_ones_of_a_stream_that_is_ahead(engine: FakeBehaviour) -> None:
    order: list[str] = []

    def speak(name: str) -> Iterator[str]:
        for number in range(3):
            order.append(f"{name}{number}")
            engine.spend(1.0)
            yield name

    async def listen(name: str) -> None:
        async with scheduler.stream(lambda: speak(name), SPEECH, Cancellation()) as items:
            assert [item async for item in items] == [name] * 3

    async with Scheduler("tts", clock=Clock()) as scheduler, anyio.create_task_group() as tasks:
        tasks.start_soon(listen, "a")
        await entered(engine)
        tasks.start_soon(listen, "b")
        await wait_all_tasks_blocked()
        engine.go_on()
    # Both have a second in hand after their first item; whoever began first runs dry first.
    assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]


async def test_a_stream_that_cannot_start_in_time_says_so_on_entering(engine: FakeBehaviour) -> None:
    terms = Terms(priority=Priority.SPEECH, deadline_s=anyio.current_time() + 0.01)
    async with Scheduler("tts") as scheduler, anyio.create_task_group() as tasks:
        tasks.start_soon(occupy, scheduler, engine)
        await entered(engine)
        with pytest.raises(SpeechError) as raised:
            async with scheduler.stream(numbers, terms, Cancellation()):
                pytest.fail("entered")
        assert raised.value.code is ErrorCode.DEADLINE_EXCEEDED
        engine.go_on()


async def test_a_consumer_does_not_wait_for_ever_for_the_next_item(
    engine: FakeBehaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engines.scheduler._STEP_TIMEOUT_S", 0.01)

    def stuck() -> Iterator[int]:
        engine.spend(1.0)
        yield 1

    async with Scheduler("tts") as scheduler:
        async with scheduler.stream(stuck, SPEECH, Cancellation()) as items:
            with pytest.raises(SpeechError) as raised:
                await anext(items)
        assert raised.value.code is ErrorCode.DEADLINE_EXCEEDED
        engine.go_on()


async def test_a_stream_that_finds_the_queue_full_is_rejected_on_entering(engine: FakeBehaviour) -> None:
    async with Scheduler("tts", max_queued=0) as scheduler, anyio.create_task_group() as tasks:
        tasks.start_soon(occupy, scheduler, engine)
        await entered(engine)
        with pytest.raises(SpeechError) as raised:
            async with scheduler.stream(numbers, SPEECH, Cancellation()):
                pytest.fail("entered")
        assert raised.value.code is ErrorCode.OVERLOADED
        engine.go_on()


async def test_only_so_many_streams_have_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.scheduler._MAX_STREAMS", 1)
    async with Scheduler("tts") as scheduler, scheduler.stream(numbers, SPEECH, Cancellation()):
        with pytest.raises(SpeechError) as raised:
            async with scheduler.stream(numbers, SPEECH, Cancellation()):
                pytest.fail("entered")
        assert raised.value.code is ErrorCode.OVERLOADED


async def test_shutdown_ends_a_stream_that_nobody_reads() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.set()

    scheduler = Scheduler("tts", grace_s=0.0)
    async with scheduler, scheduler.stream(endless, SPEECH, Cancellation()) as items:
        while not scheduler.stats().parked:
            await anyio.lowlevel.checkpoint()
        await scheduler.aclose()
        assert closed.is_set()
        with pytest.raises(SpeechError) as raised:
            async for _ in items:
                pass
        assert raised.value.code is ErrorCode.SHUTTING_DOWN
    assert not scheduler.busy


async def test_what_a_call_emits_comes_before_its_end() -> None:
    def call(emit: Callable[[int], None]) -> None:
        for number in range(3):
            emit(number)

    async with Scheduler("asr") as scheduler, scheduler.listen(call, Terms(), Cancellation()) as items:
        assert [item async for item in items] == [0, 1, 2]


async def test_what_a_call_emits_comes_before_its_error() -> None:
    def call(emit: Callable[[int], None]) -> None:
        emit(1)
        raise ValueError

    async with Scheduler("asr") as scheduler, scheduler.listen(call, Terms(), Cancellation()) as items:
        assert await anext(items) == 1
        with pytest.raises(SpeechError) as raised:
            await anext(items)
        assert raised.value.code is ErrorCode.ENGINE_FAILED


async def test_a_listener_who_does_not_listen_holds_no_worker() -> None:
    def call(emit: Callable[[int], None]) -> None:
        for number in range(500):
            emit(number)

    async with Scheduler("asr") as scheduler, scheduler.listen(call, Terms(), Cancellation()):
        while not scheduler.stats().completed:
            await anyio.lowlevel.checkpoint()
        assert await scheduler.run(list[str], "free", Terms(), Cancellation()) == "free"


async def test_a_call_nobody_could_start_is_rejected_on_entering(engine: FakeBehaviour) -> None:
    async with Scheduler("asr", max_queued=0) as scheduler, anyio.create_task_group() as tasks:
        tasks.start_soon(occupy, scheduler, engine)
        await entered(engine)
        with pytest.raises(SpeechError) as raised:
            async with scheduler.listen(lambda _: None, Terms(), Cancellation()):
                pytest.fail("entered")
        assert raised.value.code is ErrorCode.OVERLOADED
        engine.go_on()
