from __future__ import annotations

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from session.clock import FakeClock
from session.timers import Timers
from session.turn_actions import Timer

pytestmark = pytest.mark.anyio


async def test_a_timer_tells_its_name_and_generation_when_it_is_due() -> None:
    clock = FakeClock()
    expired: list[tuple[Timer, int]] = []
    timers = Timers(clock, lambda timer, generation: expired.append((timer, generation)))
    async with anyio.create_task_group() as tasks:
        timers.set(tasks, Timer.IDLE, 1.0, 1)
        timers.set(tasks, Timer.COMMIT, 0.5, 2)
        await wait_all_tasks_blocked()
        clock.advance(0.6)
        await wait_all_tasks_blocked()
        assert expired == [(Timer.COMMIT, 2)]
        clock.advance(0.6)
        await wait_all_tasks_blocked()
    assert expired == [(Timer.COMMIT, 2), (Timer.IDLE, 1)]


async def test_a_timer_set_again_counts_once() -> None:
    clock = FakeClock()
    expired: list[int] = []
    timers = Timers(clock, lambda _, generation: expired.append(generation))
    async with anyio.create_task_group() as tasks:
        timers.set(tasks, Timer.IDLE, 1.0, 1)
        await wait_all_tasks_blocked()
        timers.set(tasks, Timer.IDLE, 2.0, 2)
        await wait_all_tasks_blocked()
        clock.advance(3.0)
        await wait_all_tasks_blocked()
    assert expired == [2]
