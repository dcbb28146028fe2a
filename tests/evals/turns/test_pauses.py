from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evals.cache import Cache
from evals.turns.corpus import TurnClip
from evals.turns.instruments import Understood
from evals.turns.pauses import SCORED_MS, observe, voiced_runs
from evals.turns.rendering import Span
from schemas.audio import SESSION_RATE_HZ, VAD_FRAME_SAMPLES, Samples

FRAME_MS = 32


def probabilities(*runs: tuple[float, int]) -> NDArray[np.float32]:
    return np.concatenate([np.full(frames, value, np.float32) for value, frames in runs])


def frames(*spans: Span) -> list[tuple[int, int]]:
    return [(span.start_samples // VAD_FRAME_SAMPLES, span.end_samples // VAD_FRAME_SAMPLES) for span in spans]


def test_a_run_begins_at_the_upper_threshold_and_ends_below_the_lower() -> None:
    runs = voiced_runs(probabilities((0.4, 5), (0.6, 4), (0.4, 5), (0.1, 10)))
    assert frames(*runs) == [(5, 14)]


def test_a_click_before_a_turn_or_in_a_pause_is_none() -> None:
    runs = voiced_runs(probabilities((0.1, 5), (0.9, 2), (0.1, 10), (0.9, 5), (0.1, 10), (0.9, 2), (0.1, 10)))
    assert frames(*runs) == [(17, 22)]


def test_a_single_voiced_frame_within_a_turn_counts() -> None:
    runs = voiced_runs(probabilities((0.9, 5), (0.1, 3), (0.9, 1), (0.1, 10)))
    assert frames(*runs) == [(0, 5), (8, 9)]


class FakeEars:
    """Hears what is loud, takes silence for the end the surer the longer it lasts, and counts what it is asked."""

    version = "1"

    def __init__(self, detector: str = "1") -> None:
        self.asked = 0
        self.detector = detector

    async def voice_activity(self, tracks: Sequence[Samples]) -> list[NDArray[np.float32]]:
        return [
            (np.abs(track[: len(track) // 512 * 512].reshape(-1, 512)).max(axis=1) > 0.1).astype(np.float32)
            for track in tracks
        ]

    async def end_of_turn(self, clips: Sequence[Samples], silences: Sequence[int]) -> list[float]:
        for clip, silence in zip(clips, silences, strict=True):
            assert np.abs(clip[len(clip) - silence :]).max() <= 0.1
        return [score / 2 for score in await self.smart_turn(clips)]

    async def smart_turn(self, clips: Sequence[Samples]) -> list[float]:
        self.asked += len(clips)
        return [min(1.0, int(np.argmax(np.abs(clip[::-1]) > 0.1)) / SESSION_RATE_HZ) for clip in clips]

    async def transcribe(self, clips: Sequence[Samples], languages: Sequence[str]) -> list[Understood]:
        assert set(languages) <= {"en"}
        return [Understood(f"{len(clip) / SESSION_RATE_HZ:.1f} seconds", 0.25) for clip in clips]


def turn(*lengths_s: float) -> TurnClip:
    """Loud, silent, loud … and silence after."""
    parts = [np.zeros(8_192, np.float32)]
    holds: list[Span] = []
    for number, seconds in enumerate(lengths_s):
        length = round(seconds * SESSION_RATE_HZ) // 512 * 512
        if number % 2:
            start = sum(map(len, parts))
            holds.append(Span(start, start + length))
        parts.append(np.full(length, 0.0 if number % 2 else 0.5, np.float32))
    end = sum(map(len, parts))
    parts.append(np.zeros(56_000, np.float32))
    return TurnClip(
        name="a",
        language="en",
        voice="alto",
        channel="clean",
        text="",
        samples=np.concatenate(parts),
        speech=Span(8_192, end),
        holds=tuple(holds),
        block="a",
    )


@pytest.mark.anyio
async def test_pauses_are_told_from_the_end_and_scored_as_long_as_they_last(tmp_path: Path) -> None:
    ears = FakeEars()
    (found,) = await observe([turn(1.0, 0.6, 1.0)], ears, Cache(tmp_path))
    (hold,), (end,) = found.holds, found.ends
    assert hold.silence_ms == pytest.approx(600, abs=FRAME_MS)
    assert [score.silence_ms for score in hold.scores] == [ms for ms in SCORED_MS if ms <= hold.silence_ms]
    assert [score.silence_ms for score in end.scores] == list(SCORED_MS)
    assert hold.scores[0].probability == pytest.approx(0.2, abs=0.01)
    assert abs(end.lag_ms) < FRAME_MS
    assert end.text.startswith("3.3")  # half a second before the onset, and the pause so far
    assert end.sentence_end == 0.25
    assert not hold.is_end


def softly(clip: TurnClip, seconds: float) -> TurnClip:
    """The same, but the end of its speech is not heard."""
    assert clip.speech is not None
    clip.samples[clip.speech.end_samples - round(seconds * SESSION_RATE_HZ) : clip.speech.end_samples] = 0.05
    return clip


@pytest.mark.anyio
@pytest.mark.parametrize(("soft_s", "is_end"), [(0.1, True), (0.5, True), (0.64, True), (0.76, False), (1.2, False)])
async def test_what_is_too_soft_to_be_heard_at_an_end_makes_no_hold_of_it(
    soft_s: float, is_end: bool, tmp_path: Path
) -> None:
    (found,) = await observe([softly(turn(1.0, 0.6, 2.0), soft_s)], FakeEars(), Cache(tmp_path))
    assert (len(found.holds), len(found.ends)) == ((1, 1) if is_end else (2, 0))
    assert all(abs(end.lag_ms) < FRAME_MS + 150 for end in found.ends)  # nobody is quicker for having heard less


@pytest.mark.anyio
async def test_a_hold_before_a_word_that_is_not_heard_is_one(tmp_path: Path) -> None:
    (found,) = await observe([softly(turn(1.0, 0.3, 0.3), 0.3)], FakeEars(), Cache(tmp_path))
    assert (len(found.holds), len(found.ends)) == (1, 0)


@pytest.mark.anyio
async def test_short_silence_is_no_pause(tmp_path: Path) -> None:
    (found,) = await observe([turn(1.0, 0.15, 1.0)], FakeEars(), Cache(tmp_path))
    assert not found.holds
    assert len(found.ends) == 1


@pytest.mark.anyio
async def test_a_clip_nobody_is_heard_in_has_no_pauses(tmp_path: Path) -> None:
    (found,) = await observe([turn(0.0)], FakeEars(), Cache(tmp_path))
    assert not found.holds
    assert not found.ends


@pytest.mark.anyio
async def test_answers_are_kept_by_the_content_of_the_audio(tmp_path: Path) -> None:
    ears = FakeEars()
    first = await observe([turn(1.0, 0.6, 1.0)], ears, Cache(tmp_path))
    asked = ears.asked
    assert await observe([turn(1.0, 0.6, 1.0)], ears, Cache(tmp_path)) == first
    assert ears.asked == asked
    await observe([turn(1.0, 0.7, 1.0)], ears, Cache(tmp_path))
    assert ears.asked > asked


@pytest.mark.anyio
async def test_another_turn_detector_is_asked_and_nothing_else(tmp_path: Path) -> None:
    first, other = FakeEars(), FakeEars("2")
    (before,) = await observe([turn(1.0, 0.6, 1.0)], first, Cache(tmp_path))
    (after,) = await observe([turn(1.0, 0.6, 1.0)], other, Cache(tmp_path))
    assert before == after
    assert first.asked == 2 * other.asked
    (end,) = after.ends
    assert [score.probability for score in end.ours] == [score.probability / 2 for score in end.scores]
