"""What each principal has used of its quotas, in this process.

Rates are token buckets that are full at first: what may be used in a minute (or an hour) may be used at once, and then
comes back little by little. Litestar's rate limiting counts one limit for everybody, in fixed windows, with a race
between reading and writing the count; quotas differ from key to key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from engines.caller import Allowance, Unlimited
from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Account, Principal, Quotas

_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3_600.0
_BUSY_RETRY_S: Final = 1.0
_SWEEP_ACCOUNTS: Final = 1_024
"""With more, those that have all they may have are forgotten: tokens can name any number of subjects."""

Clock = Callable[[], float]


class Bucket:
    """So much of something in so much time.

    Args:
        amount: At once, and in each period.
        period_s: The period.
        clock: Seconds, monotonic.
    """

    def __init__(self, amount: float, period_s: float, clock: Clock) -> None:
        self.amount = amount
        self._per_s = amount / period_s
        self._clock = clock
        self._left = amount
        self._at_s = clock()

    @property
    def left(self) -> float:
        """What may be used now; below zero, what was used too much."""
        now_s = self._clock()
        self._left = min(self.amount, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        return self._left

    def use(self, amount: float) -> None:
        """Use so much, whether it is there or not."""
        self._left = self.left - amount

    def wait_s(self, amount: float) -> float:
        """When more than so much is left; 0 if it is now."""
        return max(0.0, (amount - self.left) / self._per_s)


class AudioAllowance:
    """Seconds of audio in an hour."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def take(self, audio_s: float) -> None:
        """As :meth:`Allowance.take`."""
        if self._bucket.left <= 0:
            raise _exceeded(
                "audio_s_per_hour", f"{self._bucket.amount:g} s of audio an hour", max(1.0, self._bucket.wait_s(0))
            )
        self.spend(audio_s)

    def spend(self, audio_s: float) -> None:
        """As :meth:`Allowance.spend`."""
        self._bucket.use(audio_s)


class _Usage:
    """What one account has used."""

    def __init__(self, quotas: Quotas, clock: Clock) -> None:
        self.running = 0
        self.limit(quotas, clock)

    def limit(self, quotas: Quotas, clock: Clock) -> None:
        """Count anew, by these quotas."""
        self.quotas = quotas
        self.requests = Bucket(quotas.requests_per_min, _MINUTE_S, clock) if quotas.requests_per_min else None
        self.audio = Bucket(quotas.audio_s_per_hour, _HOUR_S, clock) if quotas.audio_s_per_hour else None

    @property
    def is_at_rest(self) -> bool:
        """Whether it makes no difference if it is forgotten."""
        buckets = [bucket for bucket in (self.requests, self.audio) if bucket is not None]
        return not self.running and all(bucket.left >= bucket.amount for bucket in buckets)


class OpenRequest:
    """One of the requests that are open at the same time, as long as anything holds it.

    Args:
        usage: Where it counts.
    """

    def __init__(self, usage: _Usage) -> None:
        self._usage = usage
        self._holders = 0

    @contextmanager
    def held(self) -> Generator[None]:
        """It is open inside the block. What it began may outlive the HTTP request, and counts once with it."""
        if not self._holders:
            self._usage.running += 1
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._usage.running -= 1


class QuotaLedger:
    """Counts for every principal.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._usage: dict[Account, _Usage] = {}
        self._sweep_at = _SWEEP_ACCOUNTS

    def __len__(self) -> int:
        return len(self._usage)

    @contextmanager
    def request(self, principal: Principal) -> Generator[OpenRequest]:
        """Count a request, and inside the block one that is open.

        Raises:
            SpeechError: ``quota_exceeded``.
        """
        usage = self._of(principal)
        most = usage.quotas.concurrent_requests
        if most is not None and usage.running >= most:
            raise _exceeded("concurrent_requests", f"{most} requests and streams at the same time", _BUSY_RETRY_S)
        if usage.requests is not None:
            if (wait_s := usage.requests.wait_s(1)) > 0:
                raise _exceeded("requests_per_min", f"{usage.requests.amount:g} requests a minute", wait_s)
            usage.requests.use(1)
        request = OpenRequest(usage)
        with request.held():
            yield request

    def audio(self, principal: Principal) -> Allowance:
        """What the principal may still have heard and spoken."""
        usage = self._of(principal)
        return Unlimited() if usage.audio is None else AudioAllowance(usage.audio)

    def _of(self, principal: Principal) -> _Usage:
        usage = self._usage.get(principal.account)
        if usage is None:
            if len(self._usage) >= self._sweep_at:
                self._usage = {account: kept for account, kept in self._usage.items() if not kept.is_at_rest}
                self._sweep_at = max(_SWEEP_ACCOUNTS, 2 * len(self._usage))
            usage = self._usage[principal.account] = _Usage(principal.quotas, self._clock)
        elif usage.quotas != principal.quotas:  # the file of keys was changed
            usage.limit(principal.quotas, self._clock)
        return usage


def _exceeded(quota: str, limit: str, retry_after_s: float) -> SpeechError:
    return SpeechError(
        ErrorCode.QUOTA_EXCEEDED,
        f"This key or token may have {limit} (quotas.{quota}). Try again later.",
        param=quota,
        retry_after_s=round(retry_after_s, 3),
    )
