from pathlib import Path

import pytest

from evals.cache import Cache
from evals.runner import Failure, Runner
from evals.targets.base import Heard
from schemas.errors import ErrorCode, SpeechError

pytestmark = pytest.mark.anyio


class Counted:
    """Upper case, and how often it was asked."""

    def __init__(self, *, broken: tuple[str, ...] = ()) -> None:
        self.asked: list[str] = []
        self._broken = broken

    async def __call__(self, job: str) -> Heard:
        self.asked.append(job)
        if job in self._broken:
            raise SpeechError(ErrorCode.ENGINE_FAILED, f"no {job}")
        return Heard(text=job.upper())


async def run(folder: Path, jobs: list[str], work: Counted, identity: str = "v1") -> list[Heard | Failure]:
    runner = Runner(Cache(folder), 2)
    return await runner.run(jobs, work, lambda job: (job, identity), Heard, kind="test")


async def test_results_come_in_order_and_are_kept(tmp_path: Path) -> None:
    first, second = Counted(), Counted()
    found = await run(tmp_path, ["a", "b", "c"], first)
    assert [one.text for one in found if isinstance(one, Heard)] == ["A", "B", "C"]
    assert await run(tmp_path, ["a", "b", "c"], second) == found
    assert second.asked == []


async def test_a_run_that_broke_off_goes_on_where_it_was(tmp_path: Path) -> None:
    await run(tmp_path, ["a", "b"], Counted())
    work = Counted()
    await run(tmp_path, ["a", "b", "c"], work)
    assert work.asked == ["c"]


async def test_another_target_is_asked_anew(tmp_path: Path) -> None:
    await run(tmp_path, ["a"], Counted())
    work = Counted()
    await run(tmp_path, ["a"], work, identity="v2")
    assert work.asked == ["a"]


async def test_what_failed_is_a_failure_and_is_tried_again_by_the_next_run(tmp_path: Path) -> None:
    found = await run(tmp_path, ["a", "b"], Counted(broken=("b",)))
    assert found[1] == Failure(ErrorCode.ENGINE_FAILED, "no b")
    work = Counted()
    assert (await run(tmp_path, ["a", "b"], work))[1] == Heard(text="B")
    assert work.asked == ["b"]


async def test_a_job_whose_key_cannot_be_made_is_a_failure_and_the_others_are_done(tmp_path: Path) -> None:
    def key(job: str) -> list[str]:
        if job == "b":
            raise SpeechError(ErrorCode.NOT_FOUND, "The corpus lacks the recording of b.")
        return [job]

    found = await Runner(Cache(tmp_path), 2).run(["a", "b", "c"], Counted(), key, Heard, kind="test")
    assert found[1] == Failure(ErrorCode.NOT_FOUND, "The corpus lacks the recording of b.")
    assert [one.text for one in found if isinstance(one, Heard)] == ["A", "C"]


async def test_a_target_that_fails_from_the_start_is_given_up(tmp_path: Path) -> None:
    jobs = list("abcdefgh")
    work = Counted(broken=tuple(jobs))
    with pytest.raises(SpeechError, match="no "):
        await run(tmp_path, jobs, work)
    assert len(work.asked) < len(jobs)
