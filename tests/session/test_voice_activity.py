"""One call of the model for all sessions, and what happens when it fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import anyio
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.base import VadState
from engines.host import EngineHost
from schemas.audio import VAD_FRAME_SAMPLES
from schemas.errors import ErrorCode, SpeechError
from session import voice_activity
from session.voice_activity import VoiceActivity

pytestmark = pytest.mark.anyio

LOUD = np.full((1, VAD_FRAME_SAMPLES), 0.5, np.float32)
SILENT = np.zeros((1, VAD_FRAME_SAMPLES), np.float32)


class Asked:
    """Collects the answers of one stream."""

    def __init__(self, activity: VoiceActivity) -> None:
        self.activity = activity
        self.state = activity.initial_state()
        self.scores: list[float] = []
        self.failures: list[Exception] = []
        self.answered = anyio.Event()

    async def ask(self, frames: NDArray[np.float32]) -> None:
        self.begin(frames)
        await self.answered.wait()

    def begin(self, frames: NDArray[np.float32]) -> None:
        self.answered = anyio.Event()
        self.activity.score([*frames], self.state, self._score, self._fail)

    def _score(self, probabilities: list[float], state: VadState) -> None:
        self.scores += probabilities
        self.state = state
        self.answered.set()

    def _fail(self, error: Exception) -> None:
        self.failures.append(error)
        self.answered.set()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many streams each call had."""
    sizes: list[int] = []
    score_vad = EngineHost.score_vad

    async def spied(
        host: EngineHost, frames: NDArray[np.float32], states: Sequence[VadState]
    ) -> tuple[NDArray[np.float32], list[VadState]]:
        sizes.append(len(states))
        return await score_vad(host, frames, states)

    monkeypatch.setattr(EngineHost, "score_vad", spied)
    return sizes


@pytest.fixture
async def activity(host: EngineHost) -> AsyncGenerator[VoiceActivity]:
    activity = VoiceActivity(host)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(activity.run)
            yield activity
            tasks.cancel_scope.cancel()


async def test_frames_that_come_together_are_one_call_and_each_stream_gets_its_own_answer(
    activity: VoiceActivity, batches: list[int]
) -> None:
    loud, silent = Asked(activity), Asked(activity)
    loud.begin(LOUD)
    silent.begin(SILENT)
    await loud.answered.wait()
    await silent.answered.wait()
    assert batches == [2]
    assert loud.scores[0] > 0.9
    assert silent.scores == [0.0]


async def test_who_is_behind_has_its_frames_in_one_call_of_its_own(activity: VoiceActivity, batches: list[int]) -> None:
    behind, live, other = Asked(activity), Asked(activity), Asked(activity)
    behind.begin(np.concatenate((SILENT, LOUD, SILENT)))
    live.begin(LOUD)
    other.begin(SILENT)
    for stream in (live, other, behind):
        await stream.answered.wait()
    assert batches == [2, 1]  # those of one frame first
    assert [score > 0.9 for score in behind.scores] == [False, True, False]
    assert behind.state.tolist() == [3.0]
    assert (len(live.scores), len(other.scores)) == (1, 1)


async def test_who_is_behind_waits_for_no_tick(activity: VoiceActivity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_activity, "TICK_S", 3_600.0)
    behind = Asked(activity)
    for _ in range(3):
        await behind.ask(np.concatenate((SILENT, LOUD)))
    assert behind.state.tolist() == [6.0]


async def test_a_stream_keeps_its_state_from_frame_to_frame(activity: VoiceActivity, batches: list[int]) -> None:
    stream = Asked(activity)
    for _ in range(3):
        await stream.ask(SILENT)
    assert stream.state.tolist() == [3.0]  # the fake's state counts frames
    assert batches == [1, 1, 1]


@pytest.mark.parametrize("error", [SpeechError(ErrorCode.ENGINE_FAILED, "It broke."), ValueError("a defect")])
async def test_a_call_that_fails_is_told_to_all_it_was_for_and_the_next_is_made(
    activity: VoiceActivity, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    first, second = Asked(activity), Asked(activity)

    async def failing(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(EngineHost, "score_vad", failing)
        first.begin(LOUD)
        second.begin(LOUD)
        await first.answered.wait()
        await second.answered.wait()
    assert first.failures == second.failures == [error]
    await first.ask(SILENT)
    assert first.scores == [0.0]
