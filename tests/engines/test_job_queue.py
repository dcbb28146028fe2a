from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.job_queue import JobQueue, Priority, Terms, Waiting

OWNERS = ("a", "b", None)


class Queue:
    """A queue whose jobs are named by their order of arrival."""

    def __init__(self, max_jobs: int = 1_000, max_audio_s: float = 1e9) -> None:
        self.jobs = JobQueue(max_jobs, max_audio_s)
        self._arrivals = 0

    def add(
        self,
        priority: Priority = Priority.FINAL,
        owner: str | None = None,
        audio_s: float = 1.0,
        bucket: Hashable | None = None,
        tenant: str | None = None,
    ) -> Waiting:
        terms = Terms(priority=priority, tenant=tenant, owner=owner, audio_s=audio_s, bucket=bucket)
        job = Waiting(terms, self._arrivals)
        self._arrivals += 1
        self.jobs.add(job)
        return job

    def go_on(self, job: Waiting, due_s: float) -> None:
        job.due_s = due_s
        self.jobs.add(job)

    def take(
        self, now_s: float = 0.0, *, max_batch: int = 1, workers: int = 1, background: bool = True
    ) -> list[Waiting]:
        return self.jobs.take(now_s, max_batch=max_batch, workers=workers, background=background)

    def owners(self) -> str:
        return "".join(str(self.take()[0].terms.owner) for _ in range(len(self.jobs)))


@pytest.fixture
def queue() -> Queue:
    return Queue()


def test_tenants_take_turns_however_many_owners_they_have(queue: Queue) -> None:
    for owner in "abcdef":
        queue.add(tenant="crowd", owner=owner)
    for _ in range(3):
        queue.add(tenant="one", owner="z")
    assert queue.owners() == "azbzczdef"


def test_the_owners_of_a_tenant_take_turns_in_its_share(queue: Queue) -> None:
    for owner in "aaab":
        queue.add(tenant="first", owner=owner)
    for _ in range(4):
        queue.add(tenant="second", owner="z")
    assert queue.owners() == "azbzazaz"


def test_a_tenant_is_not_owed_what_it_did_not_want(queue: Queue) -> None:
    for _ in range(4):
        queue.add(tenant="first", owner="a")
    assert [queue.take()[0].terms.owner for _ in range(3)] == ["a", "a", "a"]
    for owner in "bb":
        queue.add(tenant="second", owner=owner)
    queue.add(tenant="first", owner="a")
    assert queue.owners() == "baba"


def test_owners_take_turns(queue: Queue) -> None:
    for owner in "aaaabbc":
        queue.add(owner=owner)
    assert queue.owners() == "abcabaa"


def test_turns_are_counted_in_audio(queue: Queue) -> None:
    for owner, audio_s in (("a", 3.0), ("a", 3.0), ("b", 1.0), ("b", 1.0), ("b", 1.0), ("b", 1.0)):
        queue.add(owner=owner, audio_s=audio_s)
    assert queue.owners() == "abbbab"


def test_who_comes_late_is_not_owed_the_past(queue: Queue) -> None:
    for _ in range(6):
        queue.add(owner="a")
    for _ in range(4):
        queue.take()
    for _ in range(4):
        queue.add(owner="b")
    assert queue.owners() in {"babab" + "b", "abab" + "bb"}


def test_what_was_given_up_has_cost_nothing(queue: Queue) -> None:
    queue.add(owner="c")
    given_up = [queue.add(owner="a", audio_s=30.0) for _ in range(5)]
    for job in given_up:
        queue.jobs.remove(job)
    queue.add(owner="a")
    queue.add(owner="b")
    queue.add(owner="b")
    assert queue.owners() == "cabb"


def test_a_listener_about_to_run_dry_goes_first_and_one_who_is_ahead_last(queue: Queue) -> None:
    ahead, dry, drier = (queue.add() for _ in range(3))
    while len(queue.jobs):
        queue.take()
    queue.go_on(ahead, 110.0)
    queue.go_on(dry, 100.2)
    queue.go_on(drier, 100.1)
    new = queue.add()
    assert [queue.take(100.0)[0] for _ in range(4)] == [drier, dry, new, ahead]


def test_what_frees_memory_goes_before_all_else(queue: Queue) -> None:
    left = queue.add(Priority.BACKGROUND)
    queue.take()
    queue.add()
    left.is_closing = True
    queue.jobs.add(left)
    assert queue.take(background=False) == [left]


def test_without_background_there_may_be_nothing_to_take(queue: Queue) -> None:
    queue.add(Priority.BACKGROUND)
    assert queue.take(background=False) == []
    assert len(queue.take()) == 1


def test_the_surplus_is_the_least_urgent_and_never_what_has_begun() -> None:
    queue = Queue(max_jobs=2)
    begun = queue.add(Priority.BACKGROUND)
    queue.take()
    queue.go_on(begun, 1e6)
    final, file = queue.add(), queue.add(Priority.BACKGROUND)
    assert queue.jobs.surplus(0.0) is None
    partial = queue.add(Priority.PARTIAL)
    assert queue.jobs.surplus(0.0) is file
    queue.jobs.remove(file)
    assert set(queue.jobs) == {begun, final, partial}


def test_the_surplus_is_of_the_owner_with_most() -> None:
    queue = Queue(max_jobs=3)
    queue.add(owner="a")
    queue.add(owner="a")
    last = queue.add(owner="a")
    queue.add(owner="b")
    assert queue.jobs.surplus(0.0) is last


def test_the_accounts_of_those_who_are_gone_are_closed(queue: Queue) -> None:
    queue.add(owner="session")
    for number in range(1_000):
        queue.add(owner=f"session-{number}")
        queue.take()
    assert queue.jobs.owners <= 257


jobs = st.tuples(
    st.sampled_from(Priority),
    st.sampled_from(OWNERS),
    st.floats(0.0, 40.0),
    st.sampled_from((None, 1, 2)),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), jobs),
        st.tuples(st.just("take"), st.tuples(st.integers(1, 5), st.integers(1, 3), st.booleans())),
        st.tuples(st.just("leave"), st.integers(0, 100)),
    ),
    max_size=60,
)


@given(steps, st.integers(0, 6), st.floats(10.0, 200.0))
def test_nothing_is_lost_nothing_comes_twice_and_bounds_hold(
    steps: list[tuple[str, object]], max_jobs: int, max_audio_s: float
) -> None:
    queue = Queue(max_jobs, max_audio_s)
    added: list[Waiting] = []
    ended: Counter[Waiting] = Counter()
    for step in steps:
        match step:
            case ("add", (Priority() as priority, str() | None as owner, float(audio_s), int() | None as bucket)):
                added.append(queue.add(priority, owner, audio_s, bucket))
                while (surplus := queue.jobs.surplus(0.0)) is not None:
                    queue.jobs.remove(surplus)
                    ended[surplus] += 1
                    assert all(surplus.terms.priority >= job.terms.priority for job in queue.jobs)
            case ("take", (int(max_batch), int(workers), bool(background))):
                batch = queue.take(max_batch=max_batch, workers=workers, background=background)
                ended.update(batch)
                assert len(batch) <= max_batch
                assert len({(job.terms.priority, job.terms.bucket) for job in batch}) <= 1
                for waiting in queue.jobs if batch else ():
                    is_allowed = background or waiting.terms.priority is not Priority.BACKGROUND
                    assert not is_allowed or waiting.terms.priority >= batch[0].terms.priority
            case ("leave", int(number)) if len(queue.jobs):
                job = list(queue.jobs)[number % len(queue.jobs)]
                queue.jobs.remove(job)
                ended[job] += 1
            case _:
                pass
        assert len(queue.jobs) <= max_jobs
        assert queue.jobs.audio_s <= max_audio_s + 1e-6 or len(queue.jobs) == 1
        assert queue.jobs.audio_s == pytest.approx(sum(job.terms.audio_s for job in queue.jobs))
    while len(queue.jobs):
        ended.update(queue.take(max_batch=3))
    assert ended == Counter(added)


@given(st.lists(st.floats(0.1, 30.0), min_size=1, max_size=12), st.integers(1, 40), st.floats(0.1, 30.0))
def test_of_two_owners_who_always_wait_neither_gets_more_than_a_job_ahead(
    costs_s: list[float], flood: int, flood_s: float
) -> None:
    queue = Queue()
    for _ in range(flood):
        queue.add(owner="flood", audio_s=flood_s)
    modest = deque(queue.add(owner="modest", audio_s=cost_s) for cost_s in costs_s)
    served_s = {"flood": 0.0, "modest": 0.0}
    while modest and flood:
        (job,) = queue.take()
        served_s[str(job.terms.owner)] += job.terms.audio_s
        if job.terms.owner == "modest":
            modest.popleft()
        else:
            flood -= 1
        if modest and flood:
            # The bound of start-time fair queueing: one longest job of each.
            assert abs(served_s["flood"] - served_s["modest"]) <= flood_s + max(costs_s) + 1e-6


@pytest.mark.parametrize("streams", [1, 7, 20])
def test_as_many_listeners_as_the_engine_can_feed_hear_no_gap(queue: Queue, streams: int) -> None:
    chunk_s, chunks = 1.0, 30
    step_s = chunk_s / streams
    made: Counter[Waiting] = Counter()
    now_s = 0.0
    for number in range(streams):
        queue.add(owner=f"session-{number}")
    while len(queue.jobs):
        (stream,) = queue.take(now_s)
        now_s += step_s
        if stream.due_s is not None:
            assert now_s <= stream.due_s + 1e-6, "the listener has run dry"
        made[stream] += 1
        if made[stream] < chunks:
            queue.go_on(stream, (now_s if stream.due_s is None else stream.due_s) + chunk_s)
    assert set(made.values()) == {chunks}
