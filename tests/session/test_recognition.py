from __future__ import annotations

from typing import Any

import anyio
import pytest

from engines.base import AsrOptions
from engines.host import EngineHost
from engines.scheduler import Priority
from schemas.audio import Samples, float_from_pcm16
from schemas.sessions import SessionSettings, TurnDetection, TurnSettings
from schemas.transcripts import Transcript
from session.audio_buffer import AudioBuffer
from session.recognition import FINAL_GUESS_S, RecognitionCounts, TurnRecognizer
from session.turn_actions import FinalizeAsr, PartialAsr

pytestmark = pytest.mark.anyio

Heard = list[tuple[str, object]]


class Calls:
    """What recognition asked of the host; each call stands still while ``may_end`` is not set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[Priority | None, AsrOptions]] = []
        self.owners: list[str] = []
        self.cancelled: list[Priority | None] = []
        self.may_end = anyio.Event()
        transcribe = EngineHost.transcribe

        async def spied(
            host: EngineHost, samples: Samples, options: AsrOptions, *, priority: Priority | None = None, **rest: Any
        ) -> Transcript:
            self.made.append((priority, options))
            self.owners.append(rest["owner"])
            try:
                await self.may_end.wait()
            except anyio.get_cancelled_exc_class():
                self.cancelled.append(priority)
                raise
            return await transcribe(host, samples, options, priority=priority, **rest)

        monkeypatch.setattr(EngineHost, "transcribe", spied)

    async def wait(self, count: int) -> None:
        while len(self.made) < count:
            await anyio.lowlevel.checkpoint()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


@pytest.fixture
def heard() -> Heard:
    """What came back, in order: the text of a partial, the generation of a final."""
    return []


@pytest.fixture
def audio(user: Any) -> AudioBuffer:
    audio = AudioBuffer()
    audio.append(float_from_pcm16(user.speech("so it is")))
    return audio


@pytest.fixture
def counts() -> RecognitionCounts:
    return RecognitionCounts()


@pytest.fixture
def recognizer(host: EngineHost, audio: AudioBuffer, heard: Heard, counts: RecognitionCounts) -> TurnRecognizer:
    return TurnRecognizer(
        host,
        "ses_1",
        SessionSettings(language="en"),
        audio,
        20.0,
        counts,
        on_partial=lambda _, words, __: heard.append(("partial", words.text)),
        on_final=lambda generation: heard.append(("final", generation)),
        on_score=lambda _generation, _probability: None,
    )


async def test_partials_are_quick_and_give_way_and_finals_are_thorough_and_go_first(
    recognizer: TurnRecognizer, audio: AudioBuffer, calls: Calls, heard: Heard
) -> None:
    calls.may_end.set()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            recognizer.partial(tasks, PartialAsr(1, 0, audio.end))
        async with anyio.create_task_group() as tasks:
            recognizer.finalize(tasks, FinalizeAsr(1, 7, 0, audio.end))
    (partial_priority, partial), (final_priority, final) = calls.made
    assert (partial_priority, partial.beam_size, partial.word_times) == (Priority.PARTIAL, 1, True)
    assert (final_priority, final.beam_size, final.word_times) == (Priority.FINAL, 5, True)
    assert (partial.sentence_end, final.sentence_end) == (False, True)
    assert heard == [("partial", "so it is"), ("final", 7)]
    assert recognizer.final.text == "so it is"


async def test_a_final_stops_the_partial_and_the_older_final_that_still_run(
    recognizer: TurnRecognizer, audio: AudioBuffer, calls: Calls, heard: Heard
) -> None:
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            recognizer.partial(tasks, PartialAsr(1, 0, audio.end))
            await calls.wait(1)
            recognizer.finalize(tasks, FinalizeAsr(1, 1, 0, audio.end))
            await calls.wait(2)
            assert calls.cancelled == [Priority.PARTIAL]
            recognizer.finalize(tasks, FinalizeAsr(1, 2, 0, audio.end))
            await calls.wait(3)
            assert calls.cancelled == [Priority.PARTIAL, Priority.FINAL]
            calls.may_end.set()
    assert heard == [("final", 2)]


async def test_what_partials_emit_and_revise_and_finals_are_begun_and_dropped_is_counted(
    recognizer: TurnRecognizer, audio: AudioBuffer, calls: Calls, counts: RecognitionCounts
) -> None:
    calls.may_end.set()
    with anyio.fail_after(20):
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                recognizer.partial(tasks, PartialAsr(1, 0, audio.end))
        async with anyio.create_task_group() as tasks:
            recognizer.finalize(tasks, FinalizeAsr(1, 1, 0, audio.end))
            recognizer.void_final()
    assert (counts.emitted_words, counts.revised_words) == (3, 0)
    assert (counts.finals_begun, counts.finals_dropped) == (1, 1)


async def test_a_final_that_may_wait_is_begun_when_it_may_not_and_never_if_it_is_void(
    host: EngineHost, audio: AudioBuffer, calls: Calls, counts: RecognitionCounts
) -> None:
    calls.may_end.set()
    may_wait = [True]
    finals: list[int] = []
    recognizer = TurnRecognizer(
        host,
        "ses_1",
        SessionSettings(),
        audio,
        20.0,
        counts,
        may_wait=lambda: may_wait[0],
        on_partial=lambda _, __, ___: None,
        on_final=finals.append,
        on_score=lambda _, __: None,
    )
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            recognizer.finalize(tasks, FinalizeAsr(1, 1, 0, audio.end))
            recognizer.go_on(tasks)
            recognizer.void_final()
            may_wait[0] = False
            recognizer.go_on(tasks)
        assert (counts.finals_begun, counts.finals_dropped, finals) == (0, 0, [])
        async with anyio.create_task_group() as tasks:
            may_wait[0] = True
            recognizer.finalize(tasks, FinalizeAsr(1, 2, 0, audio.end))
            recognizer.finalize(tasks, FinalizeAsr(1, 3, 0, audio.end))
            may_wait[0] = False
            recognizer.go_on(tasks)
            recognizer.go_on(tasks)
    assert (counts.finals_begun, counts.finals_dropped, finals) == (1, 0, [3])


@pytest.mark.parametrize("turn", [TurnSettings(silence_duration_ms=500), TurnSettings(detection=TurnDetection.MANUAL)])
async def test_how_a_text_ends_is_not_asked_where_it_has_no_part_in_when_turns_end(
    turn: TurnSettings, host: EngineHost, audio: AudioBuffer, calls: Calls, counts: RecognitionCounts
) -> None:
    recognizer = TurnRecognizer(
        host,
        "ses_1",
        SessionSettings(turn=turn),
        audio,
        20.0,
        counts,
        on_partial=lambda _, __, ___: None,
        on_final=lambda _: None,
        on_score=lambda _generation, _probability: None,
    )
    calls.may_end.set()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            recognizer.finalize(tasks, FinalizeAsr(1, 1, 0, audio.end))
    assert not calls.made[0][1].sentence_end


async def test_a_session_names_itself_and_its_hot_words_to_the_engine_and_what_was_committed_primes_no_other_turn(
    host: EngineHost, audio: AudioBuffer, calls: Calls, counts: RecognitionCounts
) -> None:
    stable: list[str] = []
    recognizer = TurnRecognizer(
        host,
        "ses_1",
        SessionSettings(prompt="Terms.", hotwords=("Antiphon",)),
        audio,
        20.0,
        counts,
        on_partial=lambda _, words, __: stable.append(words.stable_text),
        on_final=lambda _: None,
        on_score=lambda _generation, _probability: None,
    )
    calls.may_end.set()
    with anyio.fail_after(20):
        for turn in (1, 1, 2):
            async with anyio.create_task_group() as tasks:
                recognizer.partial(tasks, PartialAsr(turn, 0, audio.end))
    assert stable == ["", "so it is", ""]
    assert [(options.prompt, options.hotwords) for _, options in calls.made] == [("Terms.", ("Antiphon",))] * 3
    assert calls.owners == ["ses_1"] * 3


def test_how_long_a_final_transcript_usually_takes_is_a_guess_until_there_were_some(counts: RecognitionCounts) -> None:
    assert counts.usual_final_s == FINAL_GUESS_S
    counts.final_waits_s.extend([0.2] * 95 + [0.7] * 5)
    assert counts.usual_final_s == 0.7
    counts.final_waits_s.extend([0.2] * 100)
    assert counts.usual_final_s == 0.2
