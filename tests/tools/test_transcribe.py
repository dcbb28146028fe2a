from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import numpy as np
import pytest
from anyio import to_thread

from engines.codec.encoder import encode_all
from engines.fake import FakeBehaviour
from schemas.audio import AudioFormat, float_from_pcm16
from schemas.errors import ErrorCode, SpeechError
from schemas.tools import ToolEvent, ToolProgress, ToolSegment
from tools.registry import TOOLS
from tools.tool import ToolContext

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[Any]]
Refused = Callable[..., Awaitable[SpeechError]]


async def test_raw_pcm_becomes_text(call: Call, user: Any) -> None:
    result = await call("transcribe", audio=user.speech_base64("Good morning."), sample_rate_hz=16_000)
    assert (result.text, result.language, result.model) == ("Good morning.", "en", "fake-asr")
    assert result.words == ()
    assert result.duration_s == pytest.approx(len(user.speech("Good morning.")) / 32_000)


@pytest.mark.parametrize("fmt", [AudioFormat.WAV, AudioFormat.FLAC, AudioFormat.MP3, AudioFormat.OPUS])
async def test_files_become_text(call: Call, user: Any, fmt: AudioFormat) -> None:
    file = encode_all(float_from_pcm16(user.speech("Good morning.")), fmt, 16_000)
    result = await call("transcribe", audio=base64.b64encode(file).decode())
    assert result.text == "Good morning."


async def test_stereo_pcm_is_mixed_down(call: Call, user: Any) -> None:
    mono = np.frombuffer(user.speech("Both ears."), "<i2")
    audio = base64.b64encode(np.repeat(mono, 2).tobytes()).decode()
    assert (await call("transcribe", audio=audio, sample_rate_hz=16_000, channels=2)).text == "Both ears."


async def test_words_have_times_if_asked_for(call: Call, user: Any) -> None:
    result = await call("transcribe", audio=user.speech_base64("One two."), sample_rate_hz=16_000, word_times=True)
    assert [word.text for word in result.words] == ["One", "two."]
    assert result.words[0].end_s <= result.words[1].start_s


async def test_silence_has_an_empty_text(call: Call, user: Any) -> None:
    audio = base64.b64encode(user.silence(500)).decode()
    result = await call("transcribe", audio=audio, sample_rate_hz=16_000)
    assert (result.text, result.segments) == ("", ())


async def test_segments_and_progress_come_before_the_result(call: Call, user: Any, events: list[ToolEvent]) -> None:
    result = await call("transcribe", audio=user.speech_base64("One. Two."), sample_rate_hz=16_000)
    segments = [event.segment for event in events if isinstance(event, ToolSegment)]
    progress = [event for event in events if isinstance(event, ToolProgress)]
    assert tuple(segments) == result.segments
    assert [event.done_s for event in progress] == [segment.end_s for segment in segments]
    assert {event.total_s for event in progress} == {result.duration_s}


async def test_large_audio_is_decoded_off_the_event_loop(call: Call, user: Any) -> None:
    audio = base64.b64encode(user.silence(25_000) + user.speech("Late.")).decode()
    assert (await call("transcribe", audio=audio, sample_rate_hz=16_000)).text == "Late."


@pytest.mark.parametrize("audio", ["!!!", "AAA", "data:audio/wav;base64,AAAA", "AA\nAA", "ünïcode"])
async def test_what_is_no_base64_is_invalid_audio(refused: Refused, audio: str) -> None:
    error = await refused(ErrorCode.INVALID_AUDIO, "transcribe", audio=audio)
    assert error.param == "audio"
    assert "base64" in error.message


@pytest.mark.parametrize("tool", ["transcribe", "detect_language"])
@pytest.mark.parametrize(
    ("code", "data", "options"),
    [
        (ErrorCode.EMPTY_AUDIO, b"", {}),
        (ErrorCode.UNSUPPORTED_FORMAT, b"this is a text", {}),
        (ErrorCode.INVALID_AUDIO, b"abc", {"sample_rate_hz": 16_000}),
        (ErrorCode.AUDIO_TOO_LONG, bytes(2 * 8_000 * 31), {"sample_rate_hz": 8_000}),
        (ErrorCode.NO_AUDIO, encode_all(np.zeros(0, np.float32), AudioFormat.WAV, 16_000), {}),
        (ErrorCode.UNKNOWN_MODEL, bytes(2_000), {"sample_rate_hz": 16_000, "model": "nonesuch"}),
    ],
)
async def test_bad_audio_and_names_have_errors_of_their_own(
    refused: Refused, tool: str, code: ErrorCode, data: bytes, options: dict[str, Any]
) -> None:
    await refused(code, tool, audio=base64.b64encode(data).decode(), **options)


async def test_a_language_the_model_does_not_know_is_refused(refused: Refused, user: Any) -> None:
    audio = user.speech_base64("Hello.")
    await refused(ErrorCode.UNSUPPORTED_LANGUAGE, "transcribe", audio=audio, sample_rate_hz=16_000, language="xx")


async def test_a_broken_engine_is_an_error(refused: Refused, user: Any, behaviour: FakeBehaviour) -> None:
    behaviour.failure = RuntimeError("secret")
    error = await refused(
        ErrorCode.ENGINE_FAILED, "transcribe", audio=user.speech_base64("Hello."), sample_rate_hz=16_000
    )
    assert "secret" not in error.message


async def test_cancelling_the_call_stops_the_engine(
    context: ToolContext, user: Any, behaviour: FakeBehaviour, call: Call
) -> None:
    behaviour.hang()
    arguments = {"audio": user.speech_base64("Hello."), "sample_rate_hz": 16_000}
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(TOOLS.call, "transcribe", arguments, context)
            await to_thread.run_sync(behaviour.called.wait, abandon_on_cancel=True)
            tasks.cancel_scope.cancel()
    behaviour.go_on()
    assert (await call("transcribe", **arguments)).text == "Hello."
