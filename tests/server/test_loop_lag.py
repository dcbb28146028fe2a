"""The histogram of the event loop's lag."""

from __future__ import annotations

import time

import anyio
import pytest
from prometheus_client import CollectorRegistry

from server.loop_lag import LoopLag


@pytest.mark.anyio
async def test_a_loop_that_was_held_up_is_seen_to_be_late() -> None:
    registry = CollectorRegistry()
    lag = LoopLag(registry)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lag.watch)
        await anyio.wait_all_tasks_blocked()
        time.sleep(0.15)  # noqa: ASYNC251  this is the fault that is to be seen
        with anyio.fail_after(5):
            while not registry.get_sample_value("antiphon_event_loop_lag_seconds_count"):
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert (registry.get_sample_value("antiphon_event_loop_lag_seconds_sum") or 0) >= 0.1
