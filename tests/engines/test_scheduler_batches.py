from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Iterator, Sequence

import anyio
import pytest
from anyio import to_thread, wait_all_tasks_blocked

from engines.base import AsrJob, AsrOptions, Cancellation, Lanes
from engines.fake import FakeAsr, FakeBehaviour
from engines.scheduler import Priority, Scheduler, Terms
from engines.tones import encode_word
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import Transcript

pytestmark = pytest.mark.anyio

PATIENCE_S = 10.0


class Engine:
    """Upper-cases words, in batches, and stands still before the first while it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.memory_jobs = 1_000
        self.behaviour = FakeBehaviour()

    def __call__(self, words: Sequence[str]) -> list[str | SpeechError]:
        self.behaviour.spend(1.0)
        self.batches.append(list(words))
        if len(words) > self.memory_jobs:
            raise RuntimeError("CUDA failed with error out of memory")
        return [SpeechError(ErrorCode.INVALID_AUDIO, "No.") if word == "bad" else word.upper() for word in words]

    async def entered(self) -> None:
        assert await to_thread.run_sync(self.behaviour.called.wait, PATIENCE_S)


class Callers:
    """Ask for words, and keep what they get."""

    def __init__(self, scheduler: Scheduler, engine: Engine) -> None:
        self.got: dict[str, str | ErrorCode] = {}
        self._scheduler = scheduler
        self._engine = engine

    async def ask(self, word: str, terms: Terms) -> None:
        try:
            self.got[word] = await self._scheduler.run(self._engine, word, terms, Cancellation())
        except SpeechError as error:
            self.got[word] = error.code


@pytest.fixture(autouse=True)
async def deadline() -> AsyncGenerator[None]:
    with anyio.fail_after(PATIENCE_S):
        yield


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    engine.behaviour.hang()
    yield engine
    engine.behaviour.go_on()


async def ask_behind_one(
    scheduler: Scheduler, engine: Engine, asked: Sequence[tuple[str, Terms]]
) -> dict[str, str | ErrorCode]:
    """What is asked while the engine works on something else, in that order."""
    callers = Callers(scheduler, engine)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(callers.ask, "first", Terms(bucket="first"))
        await engine.entered()
        for word, terms in asked:
            tasks.start_soon(callers.ask, word, terms)
            await wait_all_tasks_blocked()
        engine.behaviour.go_on()
    return callers.got


async def test_what_waits_of_one_bucket_and_priority_shares_a_call(engine: Engine) -> None:
    asked = [
        ("a", Terms(bucket=1)),
        ("b", Terms(bucket=2)),
        ("c", Terms(bucket=1)),
        ("d", Terms(bucket=1, priority=Priority.PARTIAL)),
        ("e", Terms(bucket=1)),
        ("f", Terms()),
        ("g", Terms()),
    ]
    async with Scheduler("asr", lanes=Lanes(max_batch=8)) as scheduler:
        got = await ask_behind_one(scheduler, engine, asked)
        assert scheduler.stats().batch_size.sum == 8
    assert engine.batches == [["first"], ["a", "c", "e"], ["b"], ["f"], ["g"], ["d"]]
    assert got == {word: word.upper() for word in ("first", *"abcdefg")}


async def test_a_batch_is_no_larger_than_the_engine_takes(engine: Engine) -> None:
    async with Scheduler("asr", lanes=Lanes(max_batch=2)) as scheduler:
        await ask_behind_one(scheduler, engine, [(word, Terms(bucket=1)) for word in "abcde"])
    assert engine.batches == [["first"], ["a", "b"], ["c", "d"], ["e"]]


async def test_an_idle_worker_waits_for_no_company(engine: Engine) -> None:
    engine.behaviour.go_on()
    async with Scheduler("asr", lanes=Lanes(max_batch=8)) as scheduler:
        assert await scheduler.run(engine, "alone", Terms(bucket=1), Cancellation()) == "ALONE"
    assert engine.batches == [["alone"]]


async def test_workers_share_what_waits(engine: Engine) -> None:
    async with Scheduler("asr", lanes=Lanes(workers=2, max_batch=8)) as scheduler, anyio.create_task_group() as tasks:
        callers = Callers(scheduler, engine)
        for word in "abcdef":
            tasks.start_soon(callers.ask, word, Terms(bucket=1))
        while (scheduler.stats().busy_workers, scheduler.stats().queued) != (2, 4):
            await anyio.lowlevel.checkpoint()
        engine.behaviour.go_on()
    assert max(map(len, engine.batches)) == 2


async def test_a_row_that_fails_harms_no_other(engine: Engine) -> None:
    async with Scheduler("asr", lanes=Lanes(max_batch=8)) as scheduler:
        got = await ask_behind_one(scheduler, engine, [(word, Terms(bucket=1)) for word in ("a", "bad", "c")])
    assert engine.batches[1] == ["a", "bad", "c"]
    assert got == {"first": "FIRST", "a": "A", "bad": ErrorCode.INVALID_AUDIO, "c": "C"}


async def test_an_engine_that_gives_too_few_results_has_failed() -> None:
    def forgetful(_: Sequence[str]) -> list[str]:
        return []

    async with Scheduler("asr") as scheduler:
        with pytest.raises(SpeechError) as raised:
            await scheduler.run(forgetful, "a", Terms(), Cancellation())
        assert raised.value.code is ErrorCode.ENGINE_FAILED


async def test_a_batch_too_big_for_the_devices_memory_is_done_in_halves_and_the_next_is_smaller(engine: Engine) -> None:
    engine.memory_jobs = 2
    asked = [(word, Terms(bucket=1)) for word in "abcdefghijkl"]
    async with Scheduler("asr", lanes=Lanes(max_batch=8)) as scheduler:
        got = await ask_behind_one(scheduler, engine, asked)
    assert [len(batch) for batch in engine.batches] == [1, 8, 4, 2, 2, 4, 2, 2, 2, 2]
    assert got == {word: word.upper() for word in ("first", *"abcdefghijkl")}


async def test_one_job_too_big_for_the_devices_memory_is_turned_away(engine: Engine) -> None:
    engine.memory_jobs = 0
    engine.behaviour.go_on()
    async with Scheduler("asr", lanes=Lanes(max_batch=8)) as scheduler:
        with pytest.raises(SpeechError, match="ran out of memory") as raised:
            await scheduler.run(engine, "a", Terms(bucket=1), Cancellation())
        assert raised.value.code is ErrorCode.OVERLOADED
        assert raised.value.retry_after_s
        assert scheduler.stats().rejected == 1


async def test_an_owner_with_many_jobs_does_not_starve_one_with_few(engine: Engine) -> None:
    many = [(f"many{number}", Terms(owner="many", audio_s=5.0)) for number in range(20)]
    few = [("few", Terms(owner="few", audio_s=5.0))]
    async with Scheduler("asr") as scheduler:
        await ask_behind_one(scheduler, engine, [*many, *few])
    assert engine.batches.index(["few"]) <= 2, "first, many0"


async def test_too_much_audio_is_turned_away_as_too_many_jobs_are(engine: Engine) -> None:
    asked = [(word, Terms(audio_s=40.0)) for word in "abc"]
    async with Scheduler("asr", max_queued_audio_s=100.0) as scheduler:
        got = await ask_behind_one(scheduler, engine, asked)
        assert scheduler.stats().queued_audio_s == 0.0
    assert got == {"first": "FIRST", "a": "A", "b": "B", "c": ErrorCode.OVERLOADED}


async def test_one_job_longer_than_the_bound_is_taken_by_an_idle_queue(engine: Engine) -> None:
    async with Scheduler("asr", max_queued_audio_s=100.0) as scheduler:
        got = await ask_behind_one(scheduler, engine, [("long", Terms(audio_s=4_000.0))])
    assert got["long"] == "LONG"


async def test_calls_that_begin_a_tick_apart_gather_what_comes_between() -> None:
    engine = Engine()
    async with (
        Scheduler("vad", lanes=Lanes(max_batch=8), tick_s=0.05) as scheduler,
        anyio.create_task_group() as tasks,
    ):
        callers = Callers(scheduler, engine)
        await callers.ask("a", Terms(bucket=1))
        for word in "bcd":
            tasks.start_soon(callers.ask, word, Terms(bucket=1))
    assert engine.batches == [["a"], ["b", "c", "d"]]


async def test_a_batch_gives_each_row_what_it_would_get_alone() -> None:
    asr = FakeAsr()
    jobs = [
        AsrJob(
            samples=encode_word(word, 16_000, marker_slots=1),
            options=AsrOptions(language=language),
            cancellation=Cancellation(),
        )
        for word, language in (("hello.", "en"), ("hallo.", "de"), ("bonjour.", "fr"), ("x", "tlh"))
    ]
    entered, may_go_on = threading.Event(), threading.Event()

    def transcribe(rows: Sequence[AsrJob]) -> list[Transcript | SpeechError]:
        entered.set()
        assert may_go_on.wait(PATIENCE_S)
        return asr.transcribe(rows)

    found: dict[int, Transcript | ErrorCode] = {}

    async def ask(number: int) -> None:
        job = jobs[number]
        try:
            found[number] = await scheduler.run(transcribe, job, Terms(bucket=asr.bucket(job)), job.cancellation)
        except SpeechError as error:
            found[number] = error.code

    async with Scheduler("asr", lanes=Lanes(max_batch=8)) as scheduler, anyio.create_task_group() as tasks:
        for number in (0, 1, 2, 3):
            tasks.start_soon(ask, number)
            if not number:
                assert await to_thread.run_sync(entered.wait, PATIENCE_S)
        await wait_all_tasks_blocked()
        may_go_on.set()
    assert scheduler.stats().batch_size.counts[:3] == [1, 0, 1], "one alone, then three together"
    alone = [asr.transcribe([job])[0] for job in jobs]
    assert [found[number] for number in range(3)] == alone[:3]
    assert found[3] is ErrorCode.UNSUPPORTED_LANGUAGE


async def test_a_batch_whose_callers_have_all_left_stops(engine: Engine) -> None:
    behaviour = FakeBehaviour()
    behaviour.hang()
    asr = FakeAsr(behaviour=behaviour)

    async def ask() -> None:
        samples = encode_word("hello.", 16_000, marker_slots=1)
        job = AsrJob(samples=samples, options=AsrOptions(), cancellation=Cancellation())
        await scheduler.run(asr.transcribe, job, Terms(bucket=asr.bucket(job)), job.cancellation)

    async with Scheduler("asr", lanes=Lanes(max_batch=8)) as scheduler, anyio.create_task_group() as others:
        others.start_soon(Callers(scheduler, engine).ask, "first", Terms())
        await engine.entered()
        async with anyio.create_task_group() as leaving:
            for _ in range(2):
                leaving.start_soon(ask)
            await wait_all_tasks_blocked()
            engine.behaviour.go_on()
            while scheduler.stats().running != 2:
                await anyio.lowlevel.checkpoint()
            leaving.cancel_scope.cancel()
        while scheduler.busy:
            await anyio.lowlevel.checkpoint()
        assert scheduler.stats().cancelled == 2


async def test_each_who_waits_is_told_of_its_own_deadline(engine: Engine) -> None:
    now_s = anyio.current_time()
    asked = [("a", Terms(deadline_s=now_s + 0.2)), ("b", Terms(deadline_s=now_s + 0.1)), ("c", Terms())]
    async with Scheduler("asr") as scheduler:
        callers = Callers(scheduler, engine)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(callers.ask, "first", Terms())
            await engine.entered()
            for word, terms in asked:
                tasks.start_soon(callers.ask, word, terms)
            while len(callers.got) < 2:
                await anyio.lowlevel.checkpoint()
            assert list(callers.got) == ["b", "a"]
            engine.behaviour.go_on()
    assert callers.got == {
        "first": "FIRST",
        "a": ErrorCode.DEADLINE_EXCEEDED,
        "b": ErrorCode.DEADLINE_EXCEEDED,
        "c": "C",
    }
