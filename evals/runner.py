"""Many jobs for one target: some at a time, each kept as soon as it is done, so that a run that broke off goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

import anyio
import msgspec
import stamina
from msgspec import Struct

from evals.cache import Cache
from schemas.errors import ErrorCode, SpeechError

_ATTEMPTS: Final = 4
_JOB_S: Final = 600.0
"""Of one attempt: what takes longer hangs."""
_HOPELESS: Final = 5
"""Failures, with nothing that went well before them, after which the target is given up."""

Job = TypeVar("Job")
Result = TypeVar("Result")


class Failure(Struct, frozen=True):
    """A job that the target could not do."""

    code: ErrorCode
    message: str


class Runner:
    """Does jobs.

    Args:
        cache: Of results.
        parallel: Jobs at a time.
    """

    def __init__(self, cache: Cache, parallel: int) -> None:
        self._cache = cache
        self.parallel = parallel
        """Belongs in the key of what has times: others at the same time make them longer."""
        self.remembered = 0
        """Results that were there already."""

    async def run(
        self,
        jobs: Sequence[Job],
        work: Callable[[Job], Awaitable[Result]],
        key: Callable[[Job], Sequence[object]],
        form: type[Result],
        *,
        kind: str,
        advance: Callable[[], None] = lambda: None,
    ) -> list[Result | Failure]:
        """A result a job, in order. A failed one is not kept: the next run tries again.

        Args:
            jobs: What is to be done.
            work: Does one, with the target.
            key: All that its result depends on, besides the job's kind. It may fail as the job may: what is to be
                recognised may not be there.
            form: What ``work`` returns.
            kind: Names these jobs among others in the cache.
            advance: Called after each.

        Raises:
            SpeechError: The target fails from the start: what it said last.
        """
        found: dict[int, Result | Failure] = {}
        given_up: SpeechError | None = None
        limiter = anyio.CapacityLimiter(self.parallel)

        async def one(number: int, job: Job) -> None:
            nonlocal given_up
            async with limiter:
                try:
                    name = self._cache.key(kind, *key(job))
                    if (kept := self._cache.get(name)) is not None:
                        self.remembered += 1
                        found[number] = msgspec.msgpack.decode(kept, type=form)
                    else:
                        found[number] = result = await _tried(work, job)
                        self._cache.put(name, msgspec.msgpack.encode(result))
                except SpeechError as error:
                    found[number] = Failure(error.code, error.message)
                    if len(found) >= min(_HOPELESS, len(jobs)) and _all_failed(found.values()):
                        given_up = error
                        tasks.cancel_scope.cancel()
            advance()

        async with anyio.create_task_group() as tasks:
            for number, job in enumerate(jobs):
                tasks.start_soon(one, number, job)
        if given_up is not None:
            raise given_up
        return [found[number] for number in range(len(jobs))]


def _all_failed(results: Iterable[object]) -> bool:
    return all(isinstance(one, Failure) for one in results)


async def _tried(work: Callable[[Job], Awaitable[Result]], job: Job) -> Result:
    # Nobody waits for an answer here: a target that is busy gets another chance.
    async for attempt in stamina.retry_context(on=_may_be_tried_again, attempts=_ATTEMPTS, timeout=None):
        with attempt:
            try:
                with anyio.fail_after(_JOB_S):
                    return await work(job)
            except TimeoutError as error:
                raise SpeechError(ErrorCode.DEADLINE_EXCEEDED, f"No answer came within {_JOB_S:.0f} s.") from error
    raise AssertionError("the last attempt returns or raises")


def _may_be_tried_again(error: Exception) -> bool:
    return isinstance(error, SpeechError) and error.code in {ErrorCode.OVERLOADED, ErrorCode.QUOTA_EXCEEDED}
