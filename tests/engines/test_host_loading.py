from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import anyio
import numpy as np
import pytest
import soxr
from anyio import to_thread

from engines.base import AsrOptions, Engine, Lanes
from engines.fake import FakeAsr, FakeBehaviour, fake_engines
from engines.host import EngineHost
from engines.spec import EngineSpec, HostSettings
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind, ModelStatus

pytestmark = pytest.mark.anyio

_soxr: Any = soxr

PATIENCE_S = 10.0
SILENCE = np.zeros(16_000, np.float32)


class Clock:
    """Time that moves only when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._moved = anyio.Event()

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        until_s = self.now_s + duration_s
        while self.now_s < until_s:
            await self._moved.wait()

    async def pass_time(self, duration_s: float) -> None:
        self.now_s += duration_s
        self._moved.set()
        self._moved = anyio.Event()
        await anyio.wait_all_tasks_blocked()


class Loader:
    """Loads a fake, when it may, and counts."""

    def __init__(self, behaviour: FakeBehaviour | None = None) -> None:
        self.behaviour = behaviour
        self.lanes = Lanes(workers=2)
        self.loads = 0
        self.closes = 0
        self.begun = threading.Event()
        self.closed = threading.Event()
        self.failure: Exception | None = None
        self._may_load = threading.Event()
        self._may_load.set()

    def hold(self) -> None:
        self._may_load.clear()

    def let_go(self) -> None:
        self._may_load.set()

    def __call__(self) -> Engine:
        self.loads += 1
        self.begun.set()
        assert self._may_load.wait(PATIENCE_S)
        if self.failure is not None:
            raise self.failure
        loader = self

        class CountingAsr(FakeAsr):
            lanes = self.lanes

            def close(self) -> None:
                loader.closes += 1
                loader.closed.set()

        return CountingAsr(behaviour=self.behaviour)


@pytest.fixture(autouse=True)
async def deadline() -> AsyncGenerator[None]:
    with anyio.fail_after(PATIENCE_S):
        yield


@pytest.fixture
def loader() -> Iterator[Loader]:
    loader = Loader(FakeBehaviour())
    yield loader
    loader.let_go()


@asynccontextmanager
async def host_of(
    engines: dict[str, EngineSpec], clock: Clock | None = None, **settings: Any
) -> AsyncGenerator[EngineHost]:
    clock = clock or Clock()
    async with EngineHost(engines, HostSettings(**settings), clock=clock, sleep=clock.sleep) as host:
        yield host


def asr_spec(load: Callable[[], Engine], **changes: Any) -> EngineSpec:
    return EngineSpec(kind=ModelKind.ASR, engine="fake", load=load, **changes)


def status(host: EngineHost, name: str) -> ModelStatus:
    (found,) = (model for model in host.models() if model.name == name)
    return found


async def test_concurrent_first_requests_load_the_engine_once(loader: Loader) -> None:
    loader.hold()
    async with host_of({"asr": asr_spec(loader)}) as host, anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(host.transcribe, SILENCE, AsrOptions())
        await to_thread.run_sync(loader.begun.wait, PATIENCE_S)
        await anyio.wait_all_tasks_blocked()
        assert not status(host, "asr").loaded
        loader.let_go()
    assert loader.loads == 1
    assert loader.closes == 1


async def test_a_failed_load_is_reported_to_all_who_wait_and_tried_again_at_the_next_request(loader: Loader) -> None:
    codes: list[ErrorCode] = []

    async def attempt() -> None:
        with pytest.raises(SpeechError) as raised:
            await host.transcribe(SILENCE, AsrOptions())
        codes.append(raised.value.code)

    loader.hold()
    loader.failure = SpeechError(ErrorCode.MISSING_EXTRA, "Run: pip install 'antiphon[piper]'")
    async with host_of({"asr": asr_spec(loader)}) as host:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(attempt)
            await anyio.wait_all_tasks_blocked()
            loader.let_go()
        assert codes == [ErrorCode.MISSING_EXTRA] * 3
        assert loader.loads == 1
        loader.failure = None
        assert (await host.transcribe(SILENCE, AsrOptions())).text == ""
    assert loader.loads == 2


async def test_a_load_that_crashes_is_engine_failed(loader: Loader) -> None:
    loader.failure = OSError("secret path")
    async with host_of({"asr": asr_spec(loader)}) as host:
        with pytest.raises(SpeechError) as raised:
            await host.load("asr")
        assert raised.value.code is ErrorCode.ENGINE_FAILED
        assert "secret" not in raised.value.message


async def test_a_cancelled_first_request_does_not_fail_the_load_for_the_second(loader: Loader) -> None:
    loader.hold()
    async with host_of({"asr": asr_spec(loader)}) as host, anyio.create_task_group() as second:
        async with anyio.create_task_group() as first:
            first.start_soon(host.transcribe, SILENCE, AsrOptions())
            await to_thread.run_sync(loader.begun.wait, PATIENCE_S)
            second.start_soon(host.transcribe, SILENCE, AsrOptions())
            await anyio.wait_all_tasks_blocked()
            first.cancel_scope.cancel()
        loader.let_go()
    assert loader.loads == 1


async def test_a_request_waits_for_a_load_no_longer_than_its_deadline(loader: Loader) -> None:
    loader.hold()
    async with host_of({"asr": asr_spec(loader)}) as host:
        with pytest.raises(SpeechError) as raised:
            await host.transcribe(SILENCE, AsrOptions(), deadline_s=anyio.current_time() + 0.01)
        assert raised.value.code is ErrorCode.DEADLINE_EXCEEDED
        loader.let_go()


async def test_only_so_many_requests_wait_for_a_load(loader: Loader) -> None:
    loader.hold()
    async with host_of({"asr": asr_spec(loader)}, max_queued=2) as host, anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(host.transcribe, SILENCE, AsrOptions())
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(SpeechError) as raised:
            await host.transcribe(SILENCE, AsrOptions())
        assert raised.value.code is ErrorCode.OVERLOADED
        assert raised.value.retry_after_s
        loader.let_go()


async def test_an_engine_idle_for_long_enough_is_unloaded_and_loaded_again_when_needed(loader: Loader) -> None:
    clock = Clock()
    async with host_of({"asr": asr_spec(loader)}, clock, keep_alive_s=60.0) as host:
        await host.load("asr")
        await clock.pass_time(40.0)
        await host.transcribe(SILENCE, AsrOptions())
        await clock.pass_time(40.0)
        assert status(host, "asr").loaded, "it was used 40 s ago"
        await clock.pass_time(60.0)
        assert not status(host, "asr").loaded
        assert await to_thread.run_sync(loader.closed.wait, PATIENCE_S)
        await host.transcribe(SILENCE, AsrOptions())
        assert loader.loads == 2


async def test_an_engine_at_work_is_not_unloaded(loader: Loader) -> None:
    clock = Clock()
    assert loader.behaviour is not None
    loader.behaviour.hang()
    async with host_of({"asr": asr_spec(loader)}, clock, keep_alive_s=60.0) as host, anyio.create_task_group() as tasks:
        tasks.start_soon(host.transcribe, SILENCE, AsrOptions())
        await to_thread.run_sync(loader.behaviour.called.wait, PATIENCE_S)
        await clock.pass_time(600.0)
        assert status(host, "asr").loaded
        with pytest.raises(SpeechError) as raised:
            await host.unload("asr")
        assert raised.value.code is ErrorCode.OVERLOADED
        loader.behaviour.go_on()


async def test_models_can_be_loaded_and_unloaded_by_hand(loader: Loader) -> None:
    async with host_of({"asr": asr_spec(loader)}) as host:
        await host.load("asr")
        await host.load("asr")
        assert (loader.loads, status(host, "asr").loaded) == (1, True)
        await host.unload("asr")
        assert (loader.closes, status(host, "asr").loaded, status(host, "asr").resident_bytes) == (1, False, 0)
        await host.unload("asr")
        with pytest.raises(SpeechError, match="no model 'other'"):
            await host.load("other")
    assert loader.closes == 1


async def test_an_engine_that_fails_to_close_harms_nobody_else() -> None:
    class Sticky(FakeAsr):
        def close(self) -> None:
            raise RuntimeError

    async with host_of({"asr": asr_spec(Sticky)} | fake_engines()) as host:
        await host.load("asr")
        await host.unload("asr")
        assert not status(host, "asr").loaded
        assert (await host.transcribe(SILENCE, AsrOptions(), model="asr")).text == ""


async def test_the_memory_an_engine_took_is_reported() -> None:
    class Big(FakeAsr):
        def __init__(self) -> None:
            super().__init__()
            self.weights = np.ones(64 * 2**20, np.uint8)

    async with host_of({"asr": asr_spec(Big)}) as host:
        await host.load("asr")
        assert status(host, "asr").resident_bytes > 32 * 2**20


async def test_the_host_closes_its_engines_after_their_last_job(loader: Loader) -> None:
    results: list[str] = []
    assert loader.behaviour is not None
    loader.behaviour.hang()

    async def transcribe(host: EngineHost) -> None:
        results.append((await host.transcribe(SILENCE, AsrOptions())).text)

    async def release() -> None:
        await anyio.wait_all_tasks_blocked()
        assert loader.closes == 0
        assert loader.behaviour is not None
        loader.behaviour.go_on()

    async with anyio.create_task_group() as tasks, host_of({"asr": asr_spec(loader)}) as host:
        tasks.start_soon(transcribe, host)
        await to_thread.run_sync(loader.behaviour.called.wait, PATIENCE_S)
        tasks.start_soon(release)
    assert results == [""]
    assert loader.closes == 1


async def test_an_engine_whose_thread_does_not_return_is_not_closed_under_it(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engines.scheduler._STOP_GRACE_S", 0.0)
    entered, may_return = threading.Event(), threading.Event()

    def stand_still(_: float) -> None:
        entered.set()
        may_return.wait(PATIENCE_S)

    loader.behaviour = FakeBehaviour(engine_ms_per_audio_s=1.0, sleep=stand_still)

    async def transcribe(host: EngineHost) -> None:
        with suppress(SpeechError):
            await host.transcribe(SILENCE, AsrOptions())

    try:
        async with anyio.create_task_group() as tasks, host_of({"asr": asr_spec(loader)}, grace_s=0.0) as host:
            tasks.start_soon(transcribe, host)
            await to_thread.run_sync(entered.wait, PATIENCE_S)
        assert loader.closes == 0
    finally:
        may_return.set()


async def test_memory_is_given_back_once_after_work_when_engines_have_come_to_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_back: list[float] = []
    clock = Clock()
    monkeypatch.setattr("engines.host.give_back_freed_memory", lambda: given_back.append(clock.now_s))
    async with host_of(fake_engines(), clock) as host:
        await clock.pass_time(10.0)
        assert given_back == []
        await host.transcribe(SILENCE, AsrOptions())
        with anyio.fail_after(PATIENCE_S):
            while not given_back:
                await clock.pass_time(1.0)
        for _ in range(5):
            await clock.pass_time(10.0)
        assert len(given_back) == 1


async def test_memory_is_given_back_once_a_minute_while_there_is_work(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back: list[float] = []
    clock = Clock()
    monkeypatch.setattr("engines.host.give_back_freed_memory", lambda: given_back.append(clock.now_s))
    loader.behaviour = FakeBehaviour()
    async with host_of({"asr": asr_spec(loader)}, clock) as host:
        await host.load("asr")
        for _ in range(20):
            await clock.pass_time(10.0)
        given_back.clear()
        loader.behaviour.hang()
        begun_s = clock.now_s
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(host.transcribe, SILENCE, AsrOptions())
            try:
                await anyio.wait_all_tasks_blocked()
                with anyio.fail_after(PATIENCE_S):
                    while len(given_back) < 3:
                        await clock.pass_time(10.0)
            finally:
                loader.behaviour.go_on()
    gaps_s = [later - earlier for earlier, later in pairwise([begun_s, *given_back])]
    assert min(gaps_s) >= 50.0  # as often as it is looked, which is each ten seconds here


async def test_a_long_file_waits_behind_a_turn_that_came_later(loader: Loader) -> None:
    assert loader.behaviour is not None
    order: list[int] = []
    loader.lanes = Lanes()
    async with host_of({"asr": asr_spec(loader)}) as host:
        await host.load("asr")
        loader.behaviour.hang()

        async def transcribe(seconds: int) -> None:
            await host.transcribe(np.zeros(seconds * 16_000, np.float32), AsrOptions())
            order.append(seconds)

        async with anyio.create_task_group() as tasks:
            for seconds in (1, 40, 2):
                tasks.start_soon(transcribe, seconds)
                await anyio.wait_all_tasks_blocked()
            loader.behaviour.go_on()
    assert order == [1, 2, 40]
