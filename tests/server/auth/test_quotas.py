from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.caller import Unlimited
from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Principal, Quotas, Scope
from server.auth.quotas import Bucket, QuotaLedger


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> QuotaLedger:
    return QuotaLedger(clock)


def principal(subject: str = "key:1", **quotas: float) -> Principal:
    limits = Quotas(**quotas)  # type: ignore[arg-type]
    return Principal(tenant="acme", subject=subject, scopes=frozenset(Scope), quotas=limits)


def refused(ledger: QuotaLedger, who: Principal) -> SpeechError:
    with pytest.raises(SpeechError) as caught, ledger.request(who):
        pass
    assert caught.value.code is ErrorCode.QUOTA_EXCEEDED
    return caught.value


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 30)), max_size=40), st.floats(1, 50), st.floats(1, 60))
def test_a_bucket_gives_no_more_than_its_amount_and_what_came_back_since(
    steps: list[tuple[float, float]], amount: float, period_s: float
) -> None:
    clock = Clock()
    bucket = Bucket(amount, period_s, clock)
    used, began_s = 0.0, clock.now_s
    for wait_s, wanted in steps:
        clock.now_s += wait_s
        if bucket.wait_s(wanted) == 0:
            bucket.use(wanted)
            used += wanted
        assert used <= amount * (1 + (clock.now_s - began_s) / period_s) + 1e-6
        assert bucket.left <= amount


def test_after_the_time_it_names_a_bucket_has_what_was_asked_for(clock: Clock) -> None:
    bucket = Bucket(10, 60, clock)
    bucket.use(10)
    clock.now_s += bucket.wait_s(4) - 0.1
    assert bucket.wait_s(4) > 0
    clock.now_s += 0.2
    assert bucket.wait_s(4) == 0


def test_requests_beyond_the_rate_are_told_when_to_come_again(ledger: QuotaLedger, clock: Clock) -> None:
    who = principal(requests_per_min=2)
    for _ in range(2):
        with ledger.request(who):
            pass
    error = refused(ledger, who)
    assert (error.param, error.retry_after_s) == ("requests_per_min", 30.0)
    with ledger.request(principal("key:2", requests_per_min=2)):
        pass  # another key's requests are its own
    clock.now_s += 30
    with ledger.request(who):
        pass
    refused(ledger, who)


def test_requests_at_the_same_time_are_bounded_and_one_that_ends_makes_room(ledger: QuotaLedger) -> None:
    who = principal(concurrent_requests=2)
    with ledger.request(who):
        with ledger.request(who):
            assert refused(ledger, who).param == "concurrent_requests"
        with ledger.request(who):
            pass


def test_audio_is_worked_on_while_something_is_left_and_its_debt_waited_for(ledger: QuotaLedger, clock: Clock) -> None:
    allowance = ledger.audio(principal(audio_s_per_hour=3_600))
    allowance.take(3_000)
    allowance.take(1_000)  # longer than what is left
    with pytest.raises(SpeechError) as caught:
        allowance.take(0)
    assert caught.value.code is ErrorCode.QUOTA_EXCEEDED
    assert caught.value.retry_after_s == 400.0
    clock.now_s += 401
    allowance.take(0)
    allowance.spend(10)
    with pytest.raises(SpeechError):
        allowance.take(0)


def test_what_has_no_quota_is_not_counted(ledger: QuotaLedger) -> None:
    who = principal()
    allowance = ledger.audio(who)
    assert isinstance(allowance, Unlimited)
    allowance.take(1e9)
    allowance.spend(1e9)
    with ExitStack() as stack:
        for _ in range(1_000):
            stack.enter_context(ledger.request(who))


def test_a_quota_that_was_changed_holds_at_once_and_what_runs_still_counts(ledger: QuotaLedger) -> None:
    with ledger.request(principal(concurrent_requests=5)):
        assert refused(ledger, principal(concurrent_requests=1)).param == "concurrent_requests"
    with ledger.request(principal(concurrent_requests=1)):
        pass


def test_accounts_that_have_all_they_may_have_are_forgotten(ledger: QuotaLedger, clock: Clock) -> None:
    busy = principal("busy", concurrent_requests=1)
    with ledger.request(busy):
        for number in range(5_000):
            clock.now_s += 60
            with ledger.request(principal(f"subject:{number}", requests_per_min=10)):
                pass
        assert len(ledger) < 2_100
        refused(ledger, busy)
