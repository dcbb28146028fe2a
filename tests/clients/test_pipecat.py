"""Pipecat's services for OpenAI, in a pipeline of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    InputAudioRawFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.worker import PipelineParams
from pipecat.services.openai.stt import OpenAISTTService
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.tests.utils import SleepFrame, run_test

pytestmark = pytest.mark.anyio

Words = Callable[[str], str]

OUT_RATE_HZ = 24_000
FRAME_MS = 20


async def passed(processor: Any, frames: Sequence[Any], rate_hz: int = OUT_RATE_HZ) -> list[Any]:
    """What comes out of a processor, on either side, when frames are put in."""
    params = PipelineParams(audio_in_sample_rate=rate_hz, audio_out_sample_rate=OUT_RATE_HZ)
    try:
        down, up = await run_test(processor, frames_to_send=frames, pipeline_params=params, start_timeout=20.0)
    finally:
        await processor._client.close()  # which Pipecat leaves to whoever collects it, in another event loop
    return [*down, *up]


async def transcribed(
    url: str, pcm: bytes, rate_hz: int, *, include_prob_metrics: bool = False, **settings: Any
) -> Any:
    service = OpenAISTTService(
        api_key="unused",
        base_url=url,
        include_prob_metrics=include_prob_metrics,
        settings=OpenAISTTService.Settings(**settings),
    )
    step = rate_hz * FRAME_MS // 1_000 * 2
    audio = [
        InputAudioRawFrame(audio=pcm[start : start + step], sample_rate=rate_hz, num_channels=1)
        for start in range(0, len(pcm), step)
    ]
    # The order of system frames to data frames is the pipeline's own affair, hence the pauses.
    frames = [
        VADUserStartedSpeakingFrame(),
        SleepFrame(),
        *audio,
        SleepFrame(),
        VADUserStoppedSpeakingFrame(),
        SleepFrame(),
    ]
    out = await passed(service, frames, rate_hz)
    assert [frame for frame in out if isinstance(frame, ErrorFrame)] == []
    (heard,) = [frame for frame in out if isinstance(frame, TranscriptionFrame)]
    return heard


@pytest.mark.parametrize("model", ["gpt-transcribe", "gpt-4o-transcribe"])
async def test_speech_is_transcribed_with_the_probability_of_its_tokens(
    url: str, spoken: tuple[bytes, int], said: str, words: Words, model: str
) -> None:
    heard = await transcribed(
        url, *spoken, model=model, include_prob_metrics=True, keywords=["amiable"], prompt="A novel.", temperature=0.0
    )
    assert words(heard.text) == said
    assert "".join(token.token for token in heard.result.logprobs) == heard.text
    assert all(token.logprob < 0 for token in heard.result.logprobs)


async def test_whisper_tells_its_segments(url: str, spoken: tuple[bytes, int], said: str, words: Words) -> None:
    heard = await transcribed(url, *spoken, model="whisper-1", include_prob_metrics=True)
    assert words(heard.text) == said
    assert all(segment.avg_logprob < 0 for segment in heard.result.segments)


@pytest.mark.parametrize("voice", ["alloy", "marin"])
async def test_text_is_spoken_and_understood(url: str, words: Words, voice: str) -> None:
    service = OpenAITTSService(
        api_key="unused",
        base_url=url,
        settings=OpenAITTSService.Settings(voice=voice, speed=1.0, instructions="Speak kindly."),
    )
    out = await passed(service, [TTSSpeakFrame("Good morning to all of you."), SleepFrame(sleep=1.0)])
    assert [frame for frame in out if isinstance(frame, ErrorFrame)] == []
    pieces = [frame for frame in out if isinstance(frame, TTSAudioRawFrame)]
    assert {frame.sample_rate for frame in pieces} == {OUT_RATE_HZ}
    pcm = b"".join(frame.audio for frame in pieces)
    heard = await transcribed(url, pcm, OUT_RATE_HZ, model="gpt-transcribe")
    assert words(heard.text) == "good morning to all of you"
