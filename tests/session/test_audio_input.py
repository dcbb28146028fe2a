"""Pieces of any size in, frames with a speech probability out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import anyio
import numpy as np
import pytest
from anyio import wait_all_tasks_blocked

from engines.host import EngineHost
from schemas.audio import PCM16_SCALE, VAD_FRAME_SAMPLES, Samples
from session.audio_input import AudioInput
from session.voice_activity import VoiceActivity

pytestmark = pytest.mark.anyio

FRAME_BYTES = 2 * VAD_FRAME_SAMPLES
STALL_S = 0.05


class Listener:
    """What one input was heard to say."""

    def __init__(self, activity: VoiceActivity, rate_hz: int = 16_000) -> None:
        self.frames: list[Samples] = []
        self.failures: list[Exception] = []
        self.stalls = 0
        self.defect: Exception | None = None
        self.held = False
        self.in_turn = False
        self.stalled = anyio.Event()
        self.activity, self.rate_hz = activity, rate_hz
        self.input = self.made()

    is_weighed = True

    def made(self) -> AudioInput:
        return AudioInput(
            self.rate_hz,
            self.activity,
            STALL_S,
            is_weighed=self.is_weighed,
            hear=self.hear,
            is_held=lambda: self.held,
            is_in_turn=lambda: self.in_turn,
            on_stall=self.stall,
            on_failure=self.failures.append,
        )

    def hear(self, frame: Samples, probability: float) -> None:
        assert 0.0 <= probability <= 1.0
        if self.defect is not None:
            raise self.defect
        self.frames.append(frame)

    def stall(self) -> None:
        self.stalls += 1
        self.in_turn = False
        self.stalled.set()

    async def heard(self, count: int) -> None:
        while len(self.frames) < count:
            await anyio.lowlevel.checkpoint()


@pytest.fixture
async def activity(host: EngineHost) -> AsyncGenerator[VoiceActivity]:
    activity = VoiceActivity(host)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(activity.run)
            yield activity
            tasks.cancel_scope.cancel()


@pytest.fixture
def listener(activity: VoiceActivity) -> Listener:
    return Listener(activity)


def ramp(frames: int) -> bytes:
    return np.arange(frames * VAD_FRAME_SAMPLES, dtype="<i2").tobytes()


@pytest.mark.parametrize("piece_bytes", [2, 640, FRAME_BYTES, 3 * FRAME_BYTES + 2])
async def test_however_the_audio_is_cut_the_frames_are_the_same(listener: Listener, piece_bytes: int) -> None:
    pcm16 = ramp(5)
    for start in range(0, len(pcm16), piece_bytes):
        assert await listener.input.feed(pcm16[start : start + piece_bytes])
    await listener.heard(5)
    heard = np.concatenate(listener.frames) * PCM16_SCALE
    assert np.array_equal(heard, np.arange(5 * VAD_FRAME_SAMPLES))
    assert listener.input.unheard_s == 0.0


async def test_what_came_at_once_is_heard_frame_by_frame_and_held_between_frames(listener: Listener) -> None:
    hear, heard_before = listener.hear, list[int]()

    def hear_two(frame: Samples, probability: float) -> None:
        hear(frame, probability)
        listener.held = len(listener.frames) == 2

    listener.hear = hear_two
    listener.input = listener.made()
    await listener.input.feed(ramp(20))
    await listener.heard(2)
    await wait_all_tasks_blocked()
    heard_before.append(len(listener.frames))
    assert listener.input.unheard_s == pytest.approx(18 * 0.032)
    listener.held = False
    listener.input.go_on()
    await listener.heard(20)
    assert heard_before == [2]
    assert np.array_equal(np.concatenate(listener.frames) * PCM16_SCALE, np.arange(20 * VAD_FRAME_SAMPLES))


BACKLOGS = [
    (True, [60], [32, 12, *[1] * 16]),
    (True, [60, 31], [32, 12, 31, *[1] * 16]),
    (False, [60], [32, 28]),
    (False, [60, 31], [32, 28, 31]),
]


@pytest.mark.parametrize(("is_weighed", "fed", "asked"), BACKLOGS)
async def test_a_backlog_costs_a_call_a_second_up_to_what_would_be_spoken_now(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, *, is_weighed: bool, fed: list[int], asked: list[int]
) -> None:
    listener.is_weighed = is_weighed
    listener.input = listener.made()
    lengths: list[int] = []
    score = VoiceActivity.score

    def spied(activity: VoiceActivity, frames: Sequence[Samples], *rest: Any) -> None:
        lengths.append(len(frames))
        score(activity, frames, *rest)

    monkeypatch.setattr(VoiceActivity, "score", spied)
    for frames in fed:
        await listener.input.feed(ramp(frames))
    await listener.heard(sum(fed))
    assert lengths == asked


async def test_audio_of_another_rate_comes_out_at_the_sessions(activity: VoiceActivity) -> None:
    listener = Listener(activity, rate_hz=8_000)
    await listener.input.feed(bytes(2 * 8_000))
    await listener.heard(28)
    assert {len(frame) for frame in listener.frames} == {VAD_FRAME_SAMPLES}


async def test_who_sends_faster_than_it_is_heard_waits(listener: Listener) -> None:
    listener.held = True
    await listener.input.feed(ramp(40))
    await listener.input.feed(ramp(40))
    assert listener.input.unheard_s > 2.0
    fed: list[bool] = []

    async def feed() -> None:
        fed.append(await listener.input.feed(ramp(1)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed)
        await wait_all_tasks_blocked()
        assert fed == []
        listener.held = False
        listener.input.go_on()
        await listener.heard(81)
    assert fed == [True]


async def test_who_waits_when_the_session_ends_is_told(listener: Listener) -> None:
    listener.held = True
    await listener.input.feed(ramp(40))
    await listener.input.feed(ramp(40))
    fed: list[bool] = []

    async def feed() -> None:
        fed.append(await listener.input.feed(ramp(1)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed)
        await wait_all_tasks_blocked()
        listener.input.close()
    assert fed == [False]


async def test_when_audio_stops_within_a_turn_its_last_samples_are_heard_and_the_stall_is_told_after(
    listener: Listener,
) -> None:
    listener.in_turn = True
    await listener.input.feed(ramp(2) + b"\x01\x00" * 10)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.input.run)
        await listener.stalled.wait()
        tasks.cancel_scope.cancel()
    assert len(listener.frames) == 3
    assert np.count_nonzero(listener.frames[-1]) == 10
    assert listener.stalls == 1


async def test_a_session_that_fails_over_a_frame_does_not_harm_the_others_of_the_tick(activity: VoiceActivity) -> None:
    broken, sound = Listener(activity), Listener(activity)
    broken.defect = ValueError("a defect")
    await broken.input.feed(ramp(1))
    await sound.input.feed(ramp(1))
    await sound.heard(1)
    assert [str(failure) for failure in broken.failures] == ["a defect"]
    assert sound.failures == []


async def test_a_model_that_fails_is_told_unless_the_session_is_over(
    activity: VoiceActivity, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_: object) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr(EngineHost, "score_vad", failing)
    alive, over = Listener(activity), Listener(activity)
    for listener in (alive, over):
        await listener.input.feed(ramp(1))
    over.input.close()
    while not alive.failures:
        await anyio.lowlevel.checkpoint()
    assert over.failures == []


async def test_what_is_to_be_done_after_the_audio_fed_so_far_is_done_between_its_frames(listener: Listener) -> None:
    heard: list[int] = []
    await listener.input.feed(ramp(3)[:-200])
    assert await listener.input.after_heard(lambda: heard.append(len(listener.frames)), fill=False)
    assert await listener.input.after_heard(lambda: heard.append(len(listener.frames)), fill=True)
    assert heard == [2, 3]
    assert not listener.frames[-1][-100:].any()


async def test_before_any_audio_it_is_done_at_once(listener: Listener) -> None:
    done: list[bool] = []
    assert await listener.input.after_heard(lambda: done.append(True), fill=True)
    assert done == [True]
    assert listener.frames == []


async def test_who_waits_for_audio_to_be_heard_is_let_go_when_the_session_ends(listener: Listener) -> None:
    listener.held = True
    await listener.input.feed(ramp(1))
    results: list[bool] = []

    async def wait() -> None:
        results.append(await listener.input.after_heard(lambda: None, fill=False))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await wait_all_tasks_blocked()
        listener.input.close()
    assert results == [False]


async def test_a_command_that_fails_ends_the_session_and_not_its_caller(listener: Listener) -> None:
    def fail() -> None:
        raise ValueError

    assert await listener.input.after_heard(fail, fill=False)
    assert [type(failure) for failure in listener.failures] == [ValueError]


async def test_a_closed_input_keeps_no_audio(listener: Listener) -> None:
    listener.held = True
    await listener.input.feed(ramp(60) + b"\1\0")
    assert listener.input.unheard_s > 1.0
    listener.input.close()
    assert listener.input.unheard_s == 0.0
