import os

import anyio
import pytest

from evals.system.memory import Watch, memory_mb

pytestmark = pytest.mark.anyio


def test_memory_that_is_taken_is_seen() -> None:
    before = memory_mb(os.getpid())
    taken = bytearray(os.urandom(1_000)) * 60_000
    assert 40 < memory_mb(os.getpid()) - before < 90
    assert len(taken) == 60_000_000


async def test_a_process_is_looked_at_again_and_again() -> None:
    looks = 0

    async def sleep(seconds: float) -> None:
        nonlocal looks
        assert seconds > 0
        looks += 1
        if looks == 3:
            tasks.cancel_scope.cancel()
        await anyio.lowlevel.checkpoint()

    watch = Watch(os.getpid(), sleep)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch.run)
    assert len(watch.seen_mb) == 3
    assert all(mb > 10 for mb in watch.seen_mb)


async def test_nobody_is_looked_at_without_a_process() -> None:
    watch = Watch(None)
    await watch.run()
    assert watch.seen_mb == []
