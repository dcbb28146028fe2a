"""LiveKit's plugin for OpenAI: recognition and synthesis, as an agent session uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import APIConnectOptions, APIStatusError, stt, tts
from livekit.plugins import openai

pytestmark = pytest.mark.anyio

Words = Callable[[str], str]

ONCE = APIConnectOptions(max_retry=0, timeout=30.0)


def frame_of(pcm: bytes, rate_hz: int) -> rtc.AudioFrame:
    return rtc.AudioFrame(data=pcm, sample_rate=rate_hz, num_channels=1, samples_per_channel=len(pcm) // 2)


async def heard(url: str, frame: rtc.AudioFrame, **options: Any) -> stt.SpeechData:
    recogniser = openai.STT(base_url=url, api_key="unused", **options)
    try:
        event = await recogniser.recognize([frame], conn_options=ONCE)
    finally:
        await recogniser.aclose()
    assert event.type is stt.SpeechEventType.FINAL_TRANSCRIPT
    return event.alternatives[0]


@pytest.mark.parametrize(
    "options",
    [
        {"model": "whisper-1", "detect_language": True},
        {"model": "gpt-4o-mini-transcribe", "language": "en", "prompt": "A novel.", "temperature": 0.0},
        {"model": "gpt-transcribe", "language": ["de", "en"], "keywords": ["amiable"]},
    ],
    ids=lambda options: options["model"],
)
async def test_speech_is_transcribed_with_its_language(
    url: str, spoken: tuple[bytes, int], said: str, words: Words, options: dict[str, Any]
) -> None:
    found = await heard(url, frame_of(*spoken), **options)
    assert words(found.text) == said
    assert found.language == "en"


async def synthesized(url: str, text: str, **options: Any) -> tuple[rtc.AudioFrame, list[Any]]:
    metrics: list[Any] = []
    voice = openai.TTS(base_url=url, api_key="unused", **options)
    voice.on("metrics_collected", metrics.append)
    try:
        stream: tts.ChunkedStream = voice.synthesize(text, conn_options=ONCE)
        async with stream:
            return await stream.collect(), metrics
    finally:
        await voice.aclose()


@pytest.mark.parametrize("model", ["tts-1", "gpt-4o-mini-tts"], ids=["audio", "events"])
@pytest.mark.parametrize("response_format", ["mp3", "opus", "wav", "pcm"])
async def test_text_is_spoken_and_understood(url: str, words: Words, model: str, response_format: str) -> None:
    text = "Good morning to all of you."
    frame, _ = await synthesized(url, text, model=model, voice="ash", response_format=response_format, speed=1.0)
    assert (frame.sample_rate, frame.num_channels) == (24_000, 1)
    assert 1.0 < frame.duration < 4.0
    assert words((await heard(url, frame, model="whisper-1", language="en")).text) == words(text)


async def test_an_unknown_voice_is_an_error_with_the_servers_words(url: str) -> None:
    with pytest.raises(APIStatusError) as caught:
        await synthesized(url, "Hello.", voice="nobody")
    assert caught.value.status_code == 404
    assert "nobody" in str(caught.value)
