from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.base import AsrJob, AsrOptions, Cancellation, TtsJob, TurnAudio
from engines.fake import FAKE_VOICES, FakeAsr, FakeBehaviour, FakeTts, FakeTurnDetector, FakeVad, fake_engines
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind
from schemas.speech import SpeechChunk
from schemas.transcripts import Segment, Transcript

_soxr: Any = soxr

PATIENCE_S = 10.0


def speak(text: str, *, tts: FakeTts | None = None, speed: float = 1.0) -> list[SpeechChunk]:
    job = TtsJob(text=text, voice=FAKE_VOICES[0].id, cancellation=Cancellation(), speed=speed)
    return list((tts or FakeTts()).synthesize(job))


def at_16_khz(chunks: Sequence[SpeechChunk]) -> Samples:
    if not chunks:
        return np.zeros(1_600, np.float32)
    return _soxr.resample(np.concatenate([chunk.samples for chunk in chunks]), chunks[0].sample_rate_hz, 16_000)


def listen(samples: Samples, options: AsrOptions | None = None, asr: FakeAsr | None = None) -> Transcript:
    job = AsrJob(samples=samples, options=options or AsrOptions(), cancellation=Cancellation())
    (result,) = (asr or FakeAsr()).transcribe([job])
    assert isinstance(result, Transcript)
    return result


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_what_is_spoken_is_heard(text: str) -> None:
    assert listen(at_16_khz(speak(text))).text == " ".join(text.split())


@settings(deadline=None)
@given(st.lists(st.text("abcdefghij'", min_size=1, max_size=8), min_size=1, max_size=6), st.floats(0.25, 4.0))
def test_word_times_of_synthesis_and_recognition_agree(words: list[str], speed: float) -> None:
    chunks = speak(" ".join(words), speed=speed)
    spoken = [word for chunk in chunks for word in chunk.words]
    heard = listen(at_16_khz(chunks), AsrOptions(word_times=True)).words
    assert [word.text for word in heard] == words
    assert [word.start_s for word in heard] == pytest.approx([word.start_s for word in spoken], abs=0.001)
    assert [word.end_s for word in heard] == pytest.approx([word.end_s for word in spoken], abs=0.001)


@settings(deadline=None)
@given(st.text("abc \n\té", max_size=30))
def test_spoken_words_say_where_they_stand_in_the_text(text: str) -> None:
    words = [word for chunk in speak(text) for word in chunk.words]
    assert [text[word.text_start : word.text_end] for word in words] == [word.text for word in words] == text.split()


def test_words_last_until_their_chunk_ends() -> None:
    end_s = 0.0
    for chunk in speak("one two three"):
        end_s += len(chunk.samples) / chunk.sample_rate_hz
        assert chunk.words[0].end_s == pytest.approx(end_s)


def test_slow_speech_is_longer_and_fast_speech_shorter() -> None:
    lengths = [sum(len(chunk.samples) for chunk in speak("one two three", speed=speed)) for speed in (0.5, 1.0, 2.0)]
    assert lengths[0] == pytest.approx(2 * lengths[1])
    assert lengths[2] < lengths[1]


def test_a_sentence_is_a_segment_reported_as_soon_as_it_is_known() -> None:
    reported: list[Segment] = []
    job = AsrJob(
        samples=at_16_khz(speak("Hello there. How are you? Fine")),
        options=AsrOptions(),
        cancellation=Cancellation(),
        on_segment=reported.append,
    )
    (transcript,) = FakeAsr().transcribe([job])
    assert isinstance(transcript, Transcript)
    assert [segment.text for segment in reported] == ["Hello there.", "How are you?", "Fine"]
    assert transcript.segments == tuple(reported)
    assert transcript.words == ()


def test_silence_is_an_empty_transcript_as_long_as_the_audio() -> None:
    transcript = listen(np.zeros(24_000, np.float32))
    assert (transcript.text, transcript.segments, transcript.duration_s) == ("", (), 1.5)


def test_an_unknown_language_fails_only_its_own_job() -> None:
    samples = at_16_khz(speak("hello"))
    jobs = [
        AsrJob(samples=samples, options=AsrOptions(language=language), cancellation=Cancellation())
        for language in ("tlh", "de")
    ]
    failed, done = FakeAsr().transcribe(jobs)
    assert isinstance(failed, SpeechError)
    assert failed.code is ErrorCode.UNSUPPORTED_LANGUAGE
    assert isinstance(done, Transcript)
    assert (done.text, done.language) == ("hello", "de")


def test_the_first_language_is_detected() -> None:
    ((first, second),) = FakeAsr(("fr", "en")).detect_language([np.zeros(16_000, np.float32)])
    assert (first.language, second.language) == ("fr", "en")
    assert first.probability + second.probability == pytest.approx(1.0)
    assert listen(at_16_khz(speak("bonjour")), asr=FakeAsr(("fr",))).language == "fr"


def test_vad_tells_loud_from_quiet_and_keeps_a_state_for_each_stream() -> None:
    vad = FakeVad()
    frames = np.stack([np.zeros(512), np.full(512, 0.02), speak("hello")[0].samples[:512]]).astype(np.float32)
    scores, states = vad.score(frames[:, None], [vad.initial_state() for _ in range(3)])
    probabilities = scores[:, 0]
    assert scores.dtype == np.float32
    assert probabilities[0] == 0.0
    assert probabilities[1] == pytest.approx(0.5)
    assert probabilities[2] > 0.9
    assert [float(state[0]) for state in vad.score(frames[:, None], states)[1]] == [2.0, 2.0, 2.0]


def test_the_turn_detector_follows_its_script_and_stays_at_its_end() -> None:
    detector = FakeTurnDetector((0.1, 0.9))
    clip = TurnAudio(np.zeros(16_000, np.float32), 3_200)
    assert detector.score([clip]) == [0.1]
    assert detector.score([clip, clip]) == [0.9, 0.9]


def test_engine_time_is_spent_second_by_second_through_the_given_sleep() -> None:
    slept_s: list[float] = []
    asr = FakeAsr(behaviour=FakeBehaviour(engine_ms_per_audio_s=100.0, sleep=slept_s.append))
    listen(np.zeros(40_000, np.float32), asr=asr)
    assert slept_s == pytest.approx([0.1, 0.1, 0.05])


def test_a_cancelled_job_stops_at_the_next_second_of_audio() -> None:
    cancellation = Cancellation()
    slept_s: list[float] = []

    def sleep(duration_s: float) -> None:
        slept_s.append(duration_s)
        cancellation.cancel()

    asr = FakeAsr(behaviour=FakeBehaviour(engine_ms_per_audio_s=1.0, sleep=sleep))
    job = AsrJob(samples=np.zeros(160_000, np.float32), options=AsrOptions(), cancellation=cancellation)
    (result,) = asr.transcribe([job])
    assert isinstance(result, SpeechError)
    assert result.code is ErrorCode.CANCELLED
    assert len(slept_s) == 1


def test_a_crash_is_raised_by_every_call_until_it_is_taken_back() -> None:
    behaviour = FakeBehaviour()
    behaviour.failure = RuntimeError("the device is gone")
    tts = FakeTts(behaviour=behaviour)
    with pytest.raises(RuntimeError):
        speak("hello", tts=tts)
    with pytest.raises(RuntimeError):
        FakeVad(behaviour).score(np.zeros((1, 1, 512), np.float32), [np.zeros(1, np.float32)])
    behaviour.failure = None
    assert len(speak("hello", tts=tts)) == 1


@pytest.mark.parametrize("cancel", [True, False], ids=["cancelled", "told to go on"])
def test_a_hanging_engine_stands_still_until(cancel: bool) -> None:
    behaviour = FakeBehaviour()
    behaviour.hang()
    cancellation = Cancellation()
    results: list[Transcript | SpeechError] = []
    job = AsrJob(samples=at_16_khz(speak("hello")), options=AsrOptions(), cancellation=cancellation)
    thread = threading.Thread(target=lambda: results.extend(FakeAsr(behaviour=behaviour).transcribe([job])))
    thread.start()
    assert behaviour.called.wait(PATIENCE_S)
    assert results == []
    if cancel:
        cancellation.cancel()
    else:
        behaviour.go_on()
    thread.join(PATIENCE_S)
    (result,) = results
    assert isinstance(result, SpeechError) == cancel


def test_there_is_a_fake_of_each_kind() -> None:
    engines = fake_engines()
    assert {spec.kind for spec in engines.values()} == set(ModelKind)
    voices = [voice for spec in engines.values() for voice in spec.voices]
    assert all(engines[voice.model].kind is ModelKind.TTS for voice in voices)
