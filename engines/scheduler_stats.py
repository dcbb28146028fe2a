"""What a scheduler has measured: distributions for operators, and the rate of service for those it turns away."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from msgspec import Struct

_DURATION_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BATCH_BOUNDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_MEMORY: Final = 0.9
"""What is left of a measurement after the next one: about the last ten calls count."""
_UNMEASURED_RETRY_S: Final = 1.0
_RETRY_BOUNDS_S: Final = (0.1, 60.0)


class Distribution:
    """Counts of values by size, as in a Prometheus histogram.

    Args:
        bounds: Upper bounds of the buckets, ascending and inclusive; larger values have a bucket of their own.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bounds as Prometheus writes them, and how many values are no larger."""
        names = [*map(repr, self.bounds), "+Inf"]
        return list(zip(names, accumulate(map(float, self.counts)), strict=True))


class SchedulerStats(Struct, frozen=True, kw_only=True):
    """Counters since start, and what is going on now."""

    name: str
    workers: int
    max_batch: int
    queued: int
    """Jobs that wait for a worker."""
    queued_audio_s: float
    """Audio of the jobs among them that have not begun."""
    running: int
    """Jobs that the engine works on."""
    busy_workers: int
    parked: int
    """Streams that wait for their consumers."""
    abandoned: int
    """Calls that did not return in time at shutdown; their threads are still inside the engine."""
    completed: int
    failed: int
    cancelled: int
    rejected: int
    """Turned away because the queue or the device's memory was full, or the server was stopping."""
    expired: int
    """Ended by their deadline."""
    wait_s: Distribution
    """Time that jobs waited for their first call."""
    service_s: Distribution
    """Time that calls held a worker."""
    batch_size: Distribution
    """Jobs of a call."""

    @property
    def occupancy(self) -> float:
        """Share of the workers that are busy."""
        return self.busy_workers / self.workers


class Measures:
    """Collects what :class:`SchedulerStats` show, and says when to come back."""

    def __init__(self) -> None:
        self.wait_s = Distribution(_DURATION_BOUNDS_S)
        self.service_s = Distribution(_DURATION_BOUNDS_S)
        self.batch_size = Distribution(_BATCH_BOUNDS)
        self._audio_s = 0.0
        self._worked_s = 0.0

    def call(self, service_s: float, batch_size: int) -> None:
        """A call has held a worker."""
        self.service_s.observe(service_s)
        self.batch_size.observe(batch_size)

    def work(self, service_s: float, audio_s: float) -> None:
        """In so much time of one worker so much audio was dealt with."""
        self._audio_s = self._audio_s * _MEMORY + audio_s
        self._worked_s = self._worked_s * _MEMORY + service_s

    def retry_after_s(self, audio_s: float, workers: int) -> float:
        """How long so much audio will take, at the measured rate."""
        if self._audio_s == 0.0 or self._worked_s == 0.0:
            return _UNMEASURED_RETRY_S
        lowest_s, highest_s = _RETRY_BOUNDS_S
        return round(min(max(audio_s * self._worked_s / self._audio_s / workers, lowest_s), highest_s), 2)
