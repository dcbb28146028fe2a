from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from engines.coqui.gathering import Gathering
from schemas.errors import ErrorCode, SpeechError


class Doubling:
    """Doubles numbers; the first call waits until it is let go, so that others come to wait behind it."""

    def __init__(self, *, too_many: int = 100) -> None:
        self.batches: list[list[int]] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self._too_many = too_many

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        if not self.begun.is_set():
            self.begun.set()
            assert self.go_on.wait(30)
        if len(items) >= self._too_many:
            raise MemoryError
        if 13 in items:
            raise ValueError("unlucky")
        return [2 * item for item in items]


def results(
    doubling: Doubling, items: Sequence[int], *, max_batch: int = 100, by_parity: bool = False
) -> list[int | BaseException]:
    """What the items become if all but the first are asked for while the first is computed."""
    gathering = Gathering[int, int](
        doubling,
        bucket=lambda item: item % 2 if by_parity else 0,
        max_batch=max_batch,
        model_lock=threading.Lock(),
    )
    with ThreadPoolExecutor(len(items)) as threads:
        futures = [threads.submit(gathering, items[0])]
        assert doubling.begun.wait(30)
        for count, item in enumerate(items[1:], start=1):
            futures.append(threads.submit(gathering, item))
            while len(gathering._waiting) < count:  # pyright: ignore[reportPrivateUsage]
                threading.Event().wait(0.001)
        doubling.go_on.set()
        return [future.exception() or future.result() for future in futures]


def test_what_waits_is_computed_together() -> None:
    doubling = Doubling()
    assert results(doubling, [1, 2, 3, 4]) == [2, 4, 6, 8]
    assert doubling.batches[0] == [1]
    assert [sorted(batch) for batch in doubling.batches[1:]] == [[2, 3, 4]]


def test_only_equal_buckets_share_a_call() -> None:
    doubling = Doubling()
    assert results(doubling, [1, 2, 3, 4, 5], by_parity=True) == [2, 4, 6, 8, 10]
    assert sorted(sorted(batch) for batch in doubling.batches[1:]) == [[2, 4], [3, 5]]


def test_a_call_takes_no_more_than_it_may() -> None:
    doubling = Doubling()
    assert results(doubling, [1, 2, 3, 4, 5], max_batch=2) == [2, 4, 6, 8, 10]
    assert max(map(len, doubling.batches)) == 2


def test_a_failure_reaches_everyone_in_the_batch_and_nobody_else() -> None:
    outcomes = results(Doubling(), [1, 13, 15, 2], by_parity=True)
    assert outcomes[0] == 2
    assert isinstance(outcomes[1], ValueError)
    assert isinstance(outcomes[2], ValueError)
    assert outcomes[3] == 4


def test_a_batch_too_large_for_the_device_is_halved() -> None:
    doubling = Doubling(too_many=3)
    assert results(doubling, [1, 2, 3, 4, 5]) == [2, 4, 6, 8, 10]
    assert [len(batch) for batch in doubling.batches] == [1, 4, 2, 2]


def test_what_alone_is_too_large_is_refused_with_a_time_to_try_again() -> None:
    (outcome,) = results(Doubling(too_many=1), [1])
    assert isinstance(outcome, SpeechError)
    assert outcome.code is ErrorCode.OVERLOADED
    assert outcome.retry_after_s


@pytest.mark.parametrize("order", [[1, 2], [2, 1]])
def test_results_belong_to_who_asked(order: list[int]) -> None:
    assert results(Doubling(), order) == [2 * item for item in order]
