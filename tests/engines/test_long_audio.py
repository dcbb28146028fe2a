from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import numpy as np
import pytest
from anyio import to_thread

from engines.base import AsrOptions, Cancellation, TtsJob
from engines.codec.resampler import resample
from engines.fake import FakeBehaviour, FakeTts, fake_engines
from engines.host import EngineHost
from engines.long_audio import Result, transcribe_file, transcript_of_file
from engines.scheduler import Priority
from engines.spec import HostSettings
from schemas.audio import SESSION_RATE_HZ, Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import Progress, Segment, Transcript

pytestmark = pytest.mark.anyio

SENTENCES = ("One is first.", "Two comes second.", "Three is the third.", "Four is last.")
FAR_AWAY_S = 1_000.0


def speech(text: str) -> Samples:
    job = TtsJob(text=text, voice="fake-alto", cancellation=Cancellation())
    return resample(np.concatenate([chunk.samples for chunk in FakeTts().synthesize(job)]), 22_050, SESSION_RATE_HZ)


def silence(duration_s: float) -> Samples:
    return np.zeros(int(duration_s * SESSION_RATE_HZ), np.float32)


@pytest.fixture(scope="module")
def recording() -> Samples:
    """A minute and a half with a sentence every 20 s."""
    return np.concatenate([part for text in SENTENCES for part in (silence(20), speech(text))] + [silence(5)])


@pytest.fixture
def behaviour() -> FakeBehaviour:
    return FakeBehaviour()


class Asked(EngineHost):
    """Notes what recognition is asked for, and can turn it away."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.asked: list[tuple[AsrOptions, Priority | None]] = []
        self.turned_away: list[int] = []

    async def transcribe(self, samples: Samples, options: AsrOptions, **rest: Any) -> Transcript:
        self.asked.append((options, rest.get("priority")))
        if len(self.asked) in self.turned_away:
            raise SpeechError(ErrorCode.OVERLOADED, "Too much to do.", retry_after_s=0.001)
        return await super().transcribe(samples, options, **rest)


@pytest.fixture
async def host(behaviour: FakeBehaviour) -> AsyncGenerator[Asked]:
    async with Asked(fake_engines(behaviour), HostSettings(grace_s=1.0)) as host:
        yield host


async def results(host: EngineHost, samples: Samples, **options: Any) -> list[Result]:
    arguments = {name: options.pop(name) for name in ("whole", "deadline_s") if name in options}
    with anyio.fail_after(20):
        async with transcribe_file(host, samples, AsrOptions(**options), **arguments) as found:
            return [result async for result in found]


async def test_a_long_recording_gives_the_text_of_all_its_pieces(host: Asked, recording: Samples) -> None:
    *_, transcript = await results(host, recording)
    assert isinstance(transcript, Transcript)
    assert transcript.text == " ".join(SENTENCES)
    assert transcript.duration_s == pytest.approx(len(recording) / SESSION_RATE_HZ)
    assert (transcript.language, transcript.language_probability) == ("en", 1.0)
    assert len(host.asked) == len(SENTENCES)


async def test_segments_come_in_order_with_the_times_of_the_recording(host: Asked, recording: Samples) -> None:
    found = await results(host, recording, word_times=True)
    segments = [result for result in found if isinstance(result, Segment)]
    assert isinstance(found[-1], Transcript)
    assert tuple(segments) == found[-1].segments
    assert [segment.id for segment in segments] == [1, 2, 3, 4]
    whole = await host.transcribe(recording, AsrOptions(word_times=True))
    for segment, expected in zip(segments, whole.segments, strict=True):
        assert segment.start_s == pytest.approx(expected.start_s, abs=0.05)
        assert segment.end_s == pytest.approx(expected.end_s, abs=0.05)
        assert segment.seek == pytest.approx((segment.start_s - 0.5) * 100, abs=20)
        for word, other in zip(segment.words, expected.words, strict=True):
            assert word.start_s == pytest.approx(other.start_s, abs=0.05)


async def test_progress_follows_each_piece_and_ends_at_the_end(host: Asked, recording: Samples) -> None:
    done_s = [result.done_s for result in await results(host, recording) if isinstance(result, Progress)]
    assert len(done_s) == len(SENTENCES) + 1
    assert done_s == sorted(done_s)
    assert done_s[-1] == pytest.approx(len(recording) / SESSION_RATE_HZ)


async def test_progress_follows_each_segment_of_a_short_recording(host: Asked) -> None:
    segment, progress, transcript = await results(host, speech("Short."))
    assert isinstance(segment, Segment)
    assert progress == Progress(segment.end_s)
    assert isinstance(transcript, Transcript)
    assert host.asked == []


async def test_pieces_are_background_work_in_the_language_of_the_first_with_words(
    host: Asked, recording: Samples
) -> None:
    hum = np.sin(np.arange(SESSION_RATE_HZ, dtype=np.float32))
    await results(host, np.concatenate((hum, recording)), prompt="Numbers.", hotwords=("three",), vad_filter=True)
    asked = [options for options, _ in host.asked]
    assert [options.language for options in asked] == [None, None, "en", "en", "en"]
    assert {options.hotwords for options in asked} == {("three",)}
    assert {options.prompt for options in asked} == {"Numbers."}
    assert all(options.trimmed and not options.vad_filter for options in asked)
    assert {priority for _, priority in host.asked} == {Priority.BACKGROUND}


async def test_the_language_of_the_caller_is_kept(host: Asked, recording: Samples) -> None:
    *_, transcript = await results(host, recording, language="de")
    assert isinstance(transcript, Transcript)
    assert transcript.language == "de"
    assert {options.language for options, _ in host.asked} == {"de"}


@pytest.mark.parametrize(("language", "expected"), [("de", "de"), (None, "und")])
async def test_long_silence_is_an_empty_transcript_without_recognition(
    host: Asked, language: str | None, expected: str
) -> None:
    progress, transcript = await results(host, silence(100), language=language)
    assert progress == Progress(100.0)
    assert transcript == Transcript("", expected, 0.0, 100.0)
    assert host.asked == []


async def test_up_to_ten_minutes_can_be_decoded_as_one(host: Asked, recording: Samples) -> None:
    *_, transcript = await results(host, recording, whole=True)
    assert isinstance(transcript, Transcript)
    assert transcript.text == " ".join(SENTENCES)
    assert host.asked == []
    *_, transcript = await results(host, np.concatenate((recording, silence(600))), whole=True)
    assert isinstance(transcript, Transcript)
    assert transcript.text == " ".join(SENTENCES)
    assert len(host.asked) == len(SENTENCES)


async def test_without_voice_activity_detection_nothing_is_cut(behaviour: FakeBehaviour, recording: Samples) -> None:
    engines = fake_engines(behaviour)
    del engines["fake-vad"]
    async with Asked(engines, HostSettings(grace_s=1.0)) as host:
        assert (await transcript_of_file(host, recording, AsrOptions())).text == " ".join(SENTENCES)
        assert len(host.asked) == 1


@pytest.mark.parametrize("pieces", [1, 4])
async def test_a_transcript_alone_can_be_had(host: Asked, recording: Samples, pieces: int) -> None:
    samples = recording if pieces > 1 else recording[: 25 * SESSION_RATE_HZ]
    transcript = await transcript_of_file(host, samples, AsrOptions())
    assert transcript.text == " ".join(SENTENCES[:pieces])
    assert len(host.asked) == pieces


async def test_a_file_that_is_under_way_waits_for_a_busy_engine(host: Asked, recording: Samples) -> None:
    host.turned_away = [2, 3, 5]
    with anyio.fail_after(20):
        deadline_s = anyio.current_time() + FAR_AWAY_S
        assert (await transcript_of_file(host, recording, AsrOptions(), deadline_s=deadline_s)).text == " ".join(
            SENTENCES
        )
    assert len(host.asked) == len(SENTENCES) + 3


@pytest.mark.parametrize("turned_away", [[1], [2]])
async def test_a_busy_engine_turns_away_a_file_that_has_not_begun_or_is_late(
    host: Asked, recording: Samples, turned_away: list[int]
) -> None:
    host.turned_away = turned_away
    deadline_s = None if turned_away == [1] else anyio.current_time()
    with pytest.raises(SpeechError) as caught, anyio.fail_after(20):
        await transcript_of_file(host, recording, AsrOptions(), deadline_s=deadline_s)
    assert caught.value.code in {ErrorCode.OVERLOADED, ErrorCode.DEADLINE_EXCEEDED}
    assert len(host.asked) <= 2


@pytest.mark.parametrize("options", [AsrOptions(), AsrOptions(language="xx")])
async def test_what_fails_a_piece_fails_the_recording(
    host: Asked, recording: Samples, behaviour: FakeBehaviour, options: AsrOptions
) -> None:
    if options.language is None:
        behaviour.failure = RuntimeError("broken")
    with pytest.raises(SpeechError) as caught, anyio.fail_after(20):
        await transcript_of_file(host, recording, options)
    assert caught.value.code in {ErrorCode.ENGINE_FAILED, ErrorCode.UNSUPPORTED_LANGUAGE}


async def test_leaving_early_stops_the_engine(host: Asked, recording: Samples, behaviour: FakeBehaviour) -> None:
    with anyio.fail_after(20):
        async with transcribe_file(host, recording, AsrOptions(language="en")) as found:
            assert isinstance(await anext(found), Segment)
            behaviour.hang()
        while any(stats.running for stats in host.stats()):
            await to_thread.run_sync(lambda: None)
    assert len(host.asked) <= len(SENTENCES)


async def test_what_the_caller_raises_arrives_as_it_is(host: Asked, recording: Samples) -> None:
    with pytest.raises(ZeroDivisionError), anyio.fail_after(20):
        async with transcribe_file(host, recording, AsrOptions()):
            raise ZeroDivisionError
