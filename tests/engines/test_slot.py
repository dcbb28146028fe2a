from __future__ import annotations

import anyio
import pytest

from engines import slot
from engines.fake import fake_engines
from engines.scheduler import Scheduler
from engines.slot import EngineSlot

pytestmark = pytest.mark.anyio


async def test_a_freed_engine_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes_bytes = iter((1_000, 5_000))
    monkeypatch.setattr(slot, "resident_bytes", lambda: next(sizes_bytes))
    async with Scheduler("fake-asr") as scheduler, anyio.create_task_group() as tasks:
        engine_slot = EngineSlot(
            "fake-asr",
            fake_engines()["fake-asr"],
            scheduler,
            tasks=tasks,
            loading=anyio.CapacityLimiter(1),
            load_timeout_s=20.0,
            max_waiting=1,
            clock=anyio.current_time,
        )
        async with engine_slot.using(None):
            assert (engine_slot.loaded, engine_slot.resident_bytes) == (True, 4_000)
        await engine_slot.free()
        assert (engine_slot.loaded, engine_slot.resident_bytes) == (False, 0)
