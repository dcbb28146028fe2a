from __future__ import annotations

from collections.abc import Callable

import anyio
import numpy as np
import pytest

from evals.system.load import Answer, arrivals_s, capacity, offered
from evals.system.measure import lasting_s
from schemas.errors import ErrorCode, SpeechError

pytestmark = pytest.mark.anyio


class FakeClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        await anyio.lowlevel.checkpoint()  # what was begun goes on meanwhile
        self.now_s = max(self.now_s, until_s)


def test_requests_come_at_the_rate_asked_for_and_the_same_each_time() -> None:
    due = arrivals_s(20.0, 100.0, np.random.default_rng(0))
    assert len(due) == pytest.approx(2_000, rel=0.1)
    assert due == sorted(due)
    assert due == arrivals_s(20.0, 100.0, np.random.default_rng(0))
    apart = np.diff(due)
    assert float(np.std(apart)) == pytest.approx(float(np.mean(apart)), rel=0.1)  # exponential: no rhythm


async def test_requests_are_sent_when_they_are_due_though_none_is_answered() -> None:
    clock = FakeClock()
    sent: list[float] = []
    answered = anyio.Event()

    async def ask() -> float:
        sent.append(clock.now_s)
        if len(sent) == 3:
            answered.set()
        await answered.wait()
        return 0.5

    found = await offered(ask, [0.0, 1.0, 5.0], limit_s=60, clock=clock, sleep=clock.sleep)
    assert sent == pytest.approx([100.0, 101.0, 105.0])
    assert [one.latency_s for one in found] == pytest.approx([0.5, 0.5, 0.5])


async def test_what_a_request_waited_before_it_was_sent_counts() -> None:
    clock = FakeClock()

    async def ask() -> float:
        clock.now_s += 2.0  # the machine was busy
        return 2.0

    found = await offered(ask, [0.0, 1.0], limit_s=60, clock=clock, sleep=clock.sleep)
    assert [one.latency_s for one in found] == pytest.approx([2.0, 3.0])
    assert [one.meets(2.5) for one in found] == [True, False]


async def test_refusals_and_failures_are_told_apart() -> None:
    errors = iter(
        [
            SpeechError(ErrorCode.OVERLOADED, "Full.", retry_after_s=2.0),
            SpeechError(ErrorCode.QUOTA_EXCEEDED, "Enough."),
            SpeechError(ErrorCode.ENGINE_FAILED, "Broken."),
        ]
    )

    async def ask() -> float:
        if (error := next(errors, None)) is not None:
            raise error
        return 0.1

    found = await offered(ask, [0.0] * 4, limit_s=60)
    assert [one.is_shed for one in found] == [True, True, False, False]
    assert [one.is_served for one in found] == [False, False, False, True]
    assert [one.retry_after_s for one in found] == [2.0, None, None, None]
    assert found[2].code == ErrorCode.ENGINE_FAILED
    assert not any(one.meets(1e9) for one in found[:3])


async def test_a_request_that_hangs_is_given_up() -> None:
    async def ask() -> float:
        await anyio.sleep_forever()
        return 0.0

    (found,) = await offered(ask, [0.0], limit_s=0.0)
    assert found.code == ErrorCode.DEADLINE_EXCEEDED
    assert not found.is_served
    assert not found.is_shed


@pytest.mark.parametrize("callers", [1, 4])
async def test_capacity_is_what_callers_get_who_wait(callers: int) -> None:
    clock = FakeClock()

    async def ask() -> float:
        await anyio.lowlevel.checkpoint()
        clock.now_s += 0.25  # one at a time: the server has one engine
        return 0.25

    found = await capacity(ask, callers=callers, for_s=10.0, clock=clock)
    assert found.per_s == pytest.approx(4.0, rel=0.1)
    assert len(found.done) == 10
    assert max(found.done) - min(found.done) <= 2  # what ends with a window counts for the next


async def test_a_request_that_fails_is_not_in_the_capacity_and_does_not_end_its_measurement() -> None:
    clock = FakeClock()
    asked = 0

    async def ask() -> float:
        nonlocal asked
        asked += 1
        clock.now_s += 0.25
        if asked % 2:
            raise SpeechError(ErrorCode.OVERLOADED, "Full.", retry_after_s=0.5)
        return 0.25

    found = await capacity(ask, callers=1, for_s=10.0, clock=clock, sleep=clock.sleep)
    assert found.per_s == pytest.approx(1.0)


async def test_a_server_that_fails_when_it_is_not_full_has_no_capacity() -> None:
    clock = FakeClock()

    async def ask() -> float:
        raise SpeechError(ErrorCode.ENGINE_FAILED, "Broken.")

    with pytest.raises(SpeechError, match="Broken"):
        await capacity(ask, callers=1, for_s=1.0, clock=clock, sleep=clock.sleep)


def test_an_answer_is_in_time_or_not() -> None:
    late: Callable[[float], Answer] = lambda seconds: Answer(latency_s=seconds)  # noqa: E731  short
    assert late(0.9).meets(1.0)
    assert not late(1.1).meets(1.0)


@pytest.mark.parametrize(("per_s", "seconds"), [(50.0, 10.0), (2.0, 15.0), (0.1, 40.0)])
def test_a_slow_server_is_loaded_for_longer_within_bounds(per_s: float, seconds: float) -> None:
    assert lasting_s(per_s, 10.0, 30) == seconds
