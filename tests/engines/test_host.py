from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import numpy as np
import pytest
import soxr
from anyio import to_thread
from msgspec import structs

from engines.base import AsrOptions, Engine, Lanes, TurnAudio
from engines.fake import FakeAsr, FakeBehaviour, fake_engines
from engines.host import EngineHost
from engines.scheduler import SchedulerStats
from engines.spec import EngineSpec, HostSettings
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind, ModelStatus
from schemas.speech import Voice
from schemas.transcripts import Segment, Transcript

pytestmark = pytest.mark.anyio

_soxr: Any = soxr

PATIENCE_S = 10.0
SILENCE = np.zeros(16_000, np.float32)


@pytest.fixture(autouse=True)
async def deadline() -> AsyncGenerator[None]:
    with anyio.fail_after(PATIENCE_S):
        yield


@asynccontextmanager
async def host_of(engines: dict[str, EngineSpec], **settings: Any) -> AsyncGenerator[EngineHost]:
    async with EngineHost(engines, HostSettings(**settings)) as host:
        yield host


def asr_spec(load: Callable[[], Engine], **changes: Any) -> EngineSpec:
    return EngineSpec(kind=ModelKind.ASR, engine="fake", load=load, **changes)


def status(host: EngineHost, name: str) -> ModelStatus:
    (found,) = (model for model in host.models() if model.name == name)
    return found


def stats(host: EngineHost, name: str) -> SchedulerStats:
    (found,) = (one for one in host.stats() if one.name == name)
    return found


async def say(host: EngineHost, text: str) -> Samples:
    async with host.synthesize(text) as chunks:
        spoken = [chunk async for chunk in chunks]
    return _soxr.resample(np.concatenate([chunk.samples for chunk in spoken]), spoken[0].sample_rate_hz, 16_000)


async def test_what_is_said_is_transcribed() -> None:
    async with host_of(fake_engines()) as host:
        transcript = await host.transcribe(await say(host, "Hello there. How are you?"), AsrOptions(word_times=True))
        assert transcript.text == "Hello there. How are you?"
        assert [word.text for word in transcript.words][:2] == ["Hello", "there."]


async def test_a_streamed_transcription_gives_segments_and_then_the_transcript() -> None:
    async with host_of(fake_engines()) as host:
        samples = await say(host, "Hello there. How are you?")
        async with host.transcribe_stream(samples, AsrOptions()) as results:
            received = [result async for result in results]
    assert [type(result) for result in received] == [Segment, Segment, Transcript]
    assert received[-1].text == "Hello there. How are you?"


async def test_language_voice_activity_and_turn_end_are_judged() -> None:
    async with host_of(fake_engines(turn_scores=[0.25])) as host:
        assert (await host.detect_language(SILENCE))[0].language == "en"
        frames = np.stack([np.zeros((3, 512)), np.full((3, 512), 0.5)]).astype(np.float32)
        probabilities, states = await host.score_vad(frames, [host.vad_initial_state() for _ in range(2)])
        assert probabilities.shape == (2, 3)
        assert np.all(probabilities[0] < 0.1)
        assert np.all(probabilities[1] > 0.9)
        assert [float(state[0]) for state in (await host.score_vad(frames, states))[1]] == [6.0, 6.0]
        assert await host.score_turn(TurnAudio(SILENCE, len(SILENCE))) == 0.25


async def test_without_a_turn_detector_there_is_no_score() -> None:
    engines = fake_engines()
    del engines["fake-turn"]
    async with host_of(engines) as host:
        assert await host.score_turn(TurnAudio(SILENCE, len(SILENCE))) is None


async def test_without_models_each_task_says_what_to_run() -> None:
    async with host_of({}) as host:

        async def synthesize() -> None:
            async with host.synthesize("Hello"):
                pytest.fail("entered")

        async def vad_state() -> None:
            host.vad_initial_state()

        for attempt in (lambda: host.transcribe(SILENCE, AsrOptions()), synthesize, vad_state):
            with pytest.raises(SpeechError) as raised:
                await attempt()
            assert raised.value.code is ErrorCode.MODEL_NOT_INSTALLED
            assert "antiphon models pull --default" in raised.value.message
        assert host.voices() == ()


async def test_an_unknown_model_is_answered_with_those_there_are() -> None:
    engines = {f"asr-{number}": asr_spec(FakeAsr) for number in range(12)} | fake_engines()
    async with host_of(engines) as host:
        with pytest.raises(SpeechError) as raised:
            await host.transcribe(SILENCE, AsrOptions(), model="whisper" * 100)
        assert raised.value.code is ErrorCode.UNKNOWN_MODEL
        assert raised.value.param == "model"
        assert "asr-0, asr-1" in raised.value.message
        assert "asr-9 and 3 more" in raised.value.message
        assert len(raised.value.message) < 250
        with pytest.raises(SpeechError, match="no recognition model 'fake-tts'"):
            await host.transcribe(SILENCE, AsrOptions(), model="fake-tts")


async def test_a_known_model_that_is_not_installed_says_how_to_get_it() -> None:
    engines = {"big": asr_spec(FakeAsr, installed=False, default=True), "small": asr_spec(FakeAsr)}
    async with host_of(engines) as host:
        with pytest.raises(SpeechError, match="antiphon models pull big") as raised:
            await host.transcribe(SILENCE, AsrOptions(), model="big")
        assert raised.value.code is ErrorCode.MODEL_NOT_INSTALLED
        assert host.model(ModelKind.ASR, None).name == "small"
        assert [(model.name, model.installed, model.default) for model in host.models()] == [
            ("big", False, False),
            ("small", True, True),
        ]


async def test_the_default_model_is_that_of_the_settings_then_that_of_the_catalog() -> None:
    engines = {"a": asr_spec(FakeAsr), "b": asr_spec(FakeAsr, default=True), "c": asr_spec(FakeAsr)}
    async with host_of(engines) as host:
        assert host.model(ModelKind.ASR, None).name == "b"
    async with host_of(engines, asr_model="c") as host:
        assert host.model(ModelKind.ASR, None).name == "c"


async def test_a_language_the_model_does_not_know_is_refused() -> None:
    async with host_of({"asr": asr_spec(lambda: FakeAsr(("en", "de")))}) as host:
        with pytest.raises(SpeechError, match="It knows: de, en") as raised:
            await host.transcribe(SILENCE, AsrOptions(language="tlh"))
        assert (raised.value.code, raised.value.param) == (ErrorCode.UNSUPPORTED_LANGUAGE, "language")


async def test_a_crash_of_the_engine_fails_one_request_and_not_the_next() -> None:
    behaviour = FakeBehaviour()
    async with host_of(fake_engines(behaviour)) as host:
        behaviour.failure = RuntimeError("the device is gone")
        with pytest.raises(SpeechError) as raised:
            await host.transcribe(SILENCE, AsrOptions())
        assert raised.value.code is ErrorCode.ENGINE_FAILED
        behaviour.failure = None
        assert (await host.transcribe(await say(host, "again"), AsrOptions())).text == "again"


async def test_a_request_that_is_cancelled_stops_a_hanging_engine() -> None:
    behaviour = FakeBehaviour()
    behaviour.hang()
    async with host_of(fake_engines(behaviour)) as host:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(host.transcribe, SILENCE, AsrOptions())
            await to_thread.run_sync(behaviour.called.wait, PATIENCE_S)
            tasks.cancel_scope.cancel()
        behaviour.go_on()
        assert (await host.transcribe(await say(host, "again"), AsrOptions())).text == "again"
        with anyio.fail_after(PATIENCE_S):  # the other worker may answer before this one has noticed
            while stats(host, "fake-asr").cancelled != 1:
                await anyio.lowlevel.checkpoint()


async def test_whoever_stops_listening_stops_the_synthesis() -> None:
    spoken_s: list[float] = []
    behaviour = FakeBehaviour(engine_ms_per_audio_s=1.0, sleep=spoken_s.append)
    async with host_of(fake_engines(behaviour)) as host:
        async with host.synthesize("word " * 2_000) as chunks:
            async for chunk in chunks:
                assert chunk.words[0].text == "word"
                break
        # The same two workers take the next ones only if the first has stopped.
        assert len(await say(host, "one")) > 0
        assert len(await say(host, "two")) > 0
    assert len(spoken_s) < 200


async def test_an_engine_has_as_many_workers_as_it_can_use() -> None:
    class Wide(FakeAsr):
        lanes = Lanes(workers=5)

    async with host_of({"asr": asr_spec(Wide)}) as host:
        await host.load("asr")
        assert stats(host, "asr").workers == 5


async def test_the_default_voice_is_first_and_openai_names_reach_the_voices_of_its_language() -> None:
    def voice(name: str, language: str, *aliases: str) -> Voice:
        return Voice(name, "fake-tts", language, 22_050, aliases=aliases)

    voices = (voice("joe", "en-US"), voice("amy", "en-GB", "ash"), voice("eva", "de-DE"), voice("nova", "en-US"))
    engines = fake_engines()
    engines["fake-tts"] = structs.replace(engines["fake-tts"], voices=voices)
    async with host_of(engines) as host:
        assert [voice.id for voice in host.voices()] == ["joe", "amy", "eva", "nova"]
        assert host.voice(None).id == "joe"
        assert {name: host.voice(name).id for name in ("alloy", "ash", "ballad", "coral", "nova")} == {
            "alloy": "joe",
            "ash": "amy",
            "ballad": "nova",
            "coral": "joe",
            "nova": "nova",
        }
        assert host.voice("eva").aliases == ()
    async with host_of(engines, voice="eva") as host:
        assert host.voice(None).id == "eva"
        assert host.voice("alloy").id == "eva"
        assert host.voices()[0].aliases[0] == "alloy"


async def test_an_openai_name_reaches_the_voice_that_the_defaults_model_calls_so() -> None:
    def voice(name: str, model: str = "kokoro", language: str = "en-US") -> Voice:
        return Voice(f"{model}_{name}", model, language, 24_000, name=name)

    voices = (voice("heart"), voice("echo"), voice("nova", language="fr"), voice("onyx", model="other"))
    engines = fake_engines()
    engines["fake-tts"] = structs.replace(engines["fake-tts"], voices=voices)
    async with host_of(engines) as host:
        assert host.voice("echo").id == "kokoro_echo"
        assert {host.voice(name).id for name in ("alloy", "ash", "ballad")} == {
            "kokoro_heart",
            "kokoro_echo",
            "other_onyx",
        }
        assert host.voice("nova").id == "kokoro_heart"


async def test_an_unknown_voice_is_answered_with_those_there_are() -> None:
    async with host_of(fake_engines()) as host:
        with pytest.raises(SpeechError, match=r"no voice 'nobody'\. There is: fake-alto, fake-bass") as raised:
            host.voice("nobody")
        assert (raised.value.code, raised.value.param) == (ErrorCode.UNKNOWN_VOICE, "voice")


async def test_a_default_voice_that_is_not_installed_is_an_invalid_setting() -> None:
    with pytest.raises(SpeechError) as raised:
        EngineHost(fake_engines(), HostSettings(voice="nobody"))
    assert raised.value.code is ErrorCode.INVALID_SETTING
