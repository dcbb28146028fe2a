"""Which of the waiting jobs goes next. No threads, no waiting: time and capacity are arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from enum import IntEnum
from typing import Final

from msgspec import Struct

_DRY_MARGIN_S: Final = 0.25
"""A listener with less audio left than this goes before one who has heard nothing yet. Longer than a step takes."""
_MAX_ACCOUNTS: Final = 256
"""With more owners, what those who do not wait have had is forgotten."""
_MIN_AUDIO_S: Final = 0.01
"""Work without a length is not for nothing."""


Share = tuple[Hashable, ...]
"""A share of an engine: all but its last part say among whom it is one."""


class Priority(IntEnum):
    """What goes first; the lowest number does."""

    FINAL = 0
    """The transcript an agent is waiting for, and the frame-by-frame work of a session."""
    SPEECH = 1
    """What the agent says."""
    PARTIAL = 2
    """Transcripts of unfinished turns: the next one replaces it."""
    BACKGROUND = 3
    """Files. Where there are several workers, one is always kept free of these."""


class Terms(Struct, frozen=True, kw_only=True):
    """On what terms a job waits."""

    priority: Priority = Priority.FINAL
    tenant: str | None = None
    """Whose owner's it is: within a priority, tenants get equal shares of audio."""
    owner: str | None = None
    """Whose it is: of what a tenant gets, its owners get equal shares. Jobs of nobody share one share."""
    audio_s: float = 1.0
    """What it costs: seconds of audio that go in or come out."""
    bucket: Hashable | None = None
    """Jobs of one bucket and priority may share a call, and any of their calls will do; ``None`` goes alone."""
    deadline_s: float | None = None
    """On the scheduler's clock: when a call must have ended and a stream must have begun. ``None`` is never."""


class Waiting:
    """A job in the queue.

    Args:
        terms: On what terms.
        order: Counts arrivals.
    """

    def __init__(self, terms: Terms, order: int) -> None:
        self.terms = terms
        self.order = order
        self.due_s: float | None = None
        """Of a stream that has begun: when its listener runs dry."""
        self.is_closing = False
        """Whether all that is left is to free what the engine holds for it."""

    @property
    def is_new(self) -> bool:
        """Whether it has not begun, so that it can still be turned away."""
        return self.due_s is None and not self.is_closing


class JobQueue:
    """Jobs by urgency, within bounds.

    Order: what only frees memory; then by priority. Within one priority: streams whose listeners are about to run dry,
    soonest first; then jobs that have not begun, by start-time fair queueing over their tenants, and within a tenant
    over its owners (Goyal, Vin and Cheng 1996), so that who has a hundred jobs delays who has one by no more than a
    job; then streams that are ahead of their listeners.

    Args:
        max_jobs: How many jobs that have not begun may wait.
        max_audio_s: How much audio they may have, unless it is one job alone.
    """

    def __init__(self, max_jobs: int, max_audio_s: float = math.inf) -> None:
        self._max_jobs = max_jobs
        self._max_audio_s = max_audio_s
        self._jobs: dict[Waiting, None] = {}  # a set in order of arrival
        self._new = dict.fromkeys(Priority, 0)
        self.audio_s = 0.0
        """Of jobs that have not begun."""
        self._served_s: dict[Share, float] = {}
        self._virtual_s: dict[Share, float] = {}

    @property
    def owners(self) -> int:
        """Of how many it keeps account."""
        return len(self._served_s)

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job: Waiting) -> bool:
        return job in self._jobs

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._jobs)

    def add(self, job: Waiting) -> None:
        """Let a job wait. :meth:`surplus` may have somebody to turn away after that."""
        self._jobs[job] = None
        if job.is_new:
            self._new[job.terms.priority] += 1
            self.audio_s += job.terms.audio_s

    def remove(self, job: Waiting) -> None:
        """It waits no longer, and has cost its owner nothing."""
        del self._jobs[job]
        if job.is_new:
            self._new[job.terms.priority] -= 1
            self.audio_s = self.audio_s - job.terms.audio_s if any(self._new.values()) else 0.0

    def surplus(self, now_s: float) -> Waiting | None:
        """The least urgent of too many, still in the queue."""
        new = sum(self._new.values())
        if new <= self._max_jobs and (self.audio_s <= self._max_audio_s or new == 1):
            return None
        return next(job for job in reversed(self._by_urgency(now_s)) if job.is_new)

    def take(self, now_s: float, *, max_batch: int, workers: int, background: bool) -> list[Waiting]:
        """The most urgent job, and those that go with it, at most a worker's share of all of their bucket.

        Args:
            now_s: Of the clock of ``due_s``.
            max_batch: How many at most.
            workers: Among how many these are shared out.
            background: Whether work of that priority may be taken, too.
        """
        ready = [
            job
            for job in self._by_urgency(now_s)
            if background or job.is_closing or job.terms.priority is not Priority.BACKGROUND
        ]
        if not ready:
            return []
        first = ready[0]
        batch = [first]
        if max_batch > 1 and first.is_new and first.terms.bucket is not None:
            kin = [job for job in ready if job.is_new and _kind(job) == _kind(first)]
            batch = kin[: min(max_batch, math.ceil(len(kin) / workers))]
        for job in batch:
            self.remove(job)
            self._charge(job)
        return batch

    def _charge(self, job: Waiting) -> None:
        if not job.is_new:
            return
        terms = job.terms
        if not self._new[terms.priority]:
            # Nobody waits, so nobody is owed anything.
            self._forget(lambda share: share[0] is not terms.priority)
            return
        for share in (_of_tenant(terms), _of_owner(terms)):
            start_s = self._start_s(share)
            self._virtual_s[share[:-1]] = start_s
            self._served_s[share] = start_s + max(terms.audio_s, _MIN_AUDIO_S)
        if len(self._served_s) > _MAX_ACCOUNTS:
            waiting = {share for job in self._jobs for share in (_of_tenant(job.terms), _of_owner(job.terms))}
            groups = {share[:-1] for share in waiting}
            self._forget(lambda share: share in waiting or share in groups)

    def _forget(self, is_kept: Callable[[Share], bool]) -> None:
        self._served_s = {share: served_s for share, served_s in self._served_s.items() if is_kept(share)}
        self._virtual_s = {group: virtual_s for group, virtual_s in self._virtual_s.items() if is_kept(group)}

    def _start_s(self, share: Share) -> float:
        """When, in the virtual time of those it shares with, the next job of this share begins."""
        return max(self._virtual_s.get(share[:-1], 0.0), self._served_s.get(share, 0.0))

    def _by_urgency(self, now_s: float) -> list[Waiting]:
        if len(self._jobs) == 1:
            return list(self._jobs)
        ranked: list[tuple[tuple[int, int, float], int, Waiting]] = []
        for job in self._jobs:
            if job.is_closing:
                ranked.append(((-1, 0, 0.0), job.order, job))
            elif job.due_s is not None:
                is_dry = job.due_s <= now_s + _DRY_MARGIN_S
                ranked.append(((job.terms.priority, 0 if is_dry else 2, job.due_s), job.order, job))
        new = self._by_share([job for job in self._jobs if job.is_new], _of_owner)
        # The owners of a tenant have settled who of them is next; now the tenants do.
        new = self._by_share([job for _, _, job in sorted(new)], _of_tenant)
        ranked += [((job.terms.priority, 1, start_s), order, job) for start_s, order, job in new]
        ranked.sort()
        return [job for _, _, job in ranked]

    def _by_share(
        self, jobs: Iterable[Waiting], share_of: Callable[[Terms], Share]
    ) -> list[tuple[float, int, Waiting]]:
        """When in virtual time each job begins, if those of a share come one after the other, as they are given."""
        ends_s: dict[Share, float] = {}
        starts: list[tuple[float, int, Waiting]] = []
        for job in jobs:
            share = share_of(job.terms)
            start_s = ends_s[share] if share in ends_s else self._start_s(share)
            ends_s[share] = start_s + max(job.terms.audio_s, _MIN_AUDIO_S)
            starts.append((start_s, job.order, job))
        return starts


def _of_tenant(terms: Terms) -> Share:
    return terms.priority, terms.tenant


def _of_owner(terms: Terms) -> Share:
    return terms.priority, terms.tenant, terms.owner


def _kind(job: Waiting) -> tuple[Priority, Hashable]:
    return job.terms.priority, job.terms.bucket
