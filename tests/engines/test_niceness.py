from __future__ import annotations

import os
import sys
import threading

import anyio
import numpy as np
import pytest

from engines.base import AsrOptions, Engine
from engines.fake import FakeAsr, FakeBehaviour
from engines.host import EngineHost
from engines.niceness import give_way
from engines.spec import EngineSpec, HostSettings
from schemas.models import ModelKind

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a niceness for each thread")


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_a_thread_that_computes_gives_way_and_so_do_those_it_starts() -> None:
    before = niceness()
    found: list[int] = []

    def start_another() -> None:
        found.append(niceness())
        another = threading.Thread(target=lambda: found.append(niceness()))
        another.start()
        another.join()

    def compute_twice() -> None:
        for _ in range(2):
            give_way()
            start_another()

    thread = threading.Thread(target=compute_twice)
    thread.start()
    thread.join()
    assert found == [before + 5] * 4
    assert niceness() == before


def test_where_a_sandbox_forbids_it_the_work_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: int) -> int:
        raise PermissionError

    monkeypatch.setattr("os.nice", forbidden)
    found: list[str] = []

    def compute() -> None:
        give_way()
        found.append("computed")

    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
    assert found == ["computed"]


@pytest.mark.anyio
async def test_engines_are_loaded_and_work_on_such_threads() -> None:
    before = niceness()
    found: list[int] = []
    behaviour = FakeBehaviour(engine_ms_per_audio_s=1.0, sleep=lambda _: found.append(niceness()))

    def load() -> Engine:
        found.append(niceness())
        return FakeAsr(behaviour=behaviour)

    spec = EngineSpec(kind=ModelKind.ASR, engine="fake", load=load)
    async with EngineHost({"asr": spec}, HostSettings()) as host:
        with anyio.fail_after(10.0):
            await host.transcribe(np.zeros(16_000, np.float32), AsrOptions())
    assert len(found) > 1
    assert set(found) == {before + 5}
