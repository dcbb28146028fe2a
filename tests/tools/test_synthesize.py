from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import numpy as np
import pytest
from anyio import to_thread

from engines.codec.decoder import Decoder
from engines.fake import FakeBehaviour
from engines.tones import decode_words
from schemas.audio import AudioFormat, float_from_pcm16
from schemas.errors import ErrorCode, SpeechError
from schemas.tools import ToolAudio, ToolEvent, ToolProgress
from tools.registry import TOOLS
from tools.tool import ToolContext

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[Any]]
Refused = Callable[..., Awaitable[SpeechError]]


async def heard(decoder: Decoder, data: bytes) -> str:
    audio = await decoder.decode(data)
    return " ".join(word.text for word in decode_words(audio.samples))


@pytest.mark.parametrize("fmt", [fmt for fmt in AudioFormat if fmt is not AudioFormat.PCM])
async def test_a_text_becomes_a_file_that_says_it(call: Call, decoder: Decoder, fmt: AudioFormat) -> None:
    result = await call("synthesize", text="Good morning.", format=fmt.value)
    assert (result.format, result.voice) == (fmt, "fake-alto")
    assert await heard(decoder, base64.b64decode(result.audio)) == "Good morning."


async def test_how_it_is_spoken_can_be_told(call: Call) -> None:
    lexicon = [{"word": "SQL", "say": "sequel"}]
    result = await call(
        "synthesize", text="2 km of SQL", lexicon=lexicon, gain_db=3.0, format="pcm", sample_rate_hz=16_000
    )
    samples = float_from_pcm16(base64.b64decode(result.audio))
    assert " ".join(word.text for word in decode_words(samples)) == "two kilometers of sequel"


async def test_ssml_is_spoken_if_it_is_told(call: Call, refused: Refused) -> None:
    result = await call("synthesize", text="<speak>Hi.</speak>", ssml=True, format="pcm", sample_rate_hz=16_000)
    samples = float_from_pcm16(base64.b64decode(result.audio))
    assert [word.text for word in decode_words(samples)] == ["Hi."]
    error = await refused(ErrorCode.INVALID_REQUEST, "synthesize", text="<speak>Hi.", ssml=True)
    assert "not well-formed" in error.message


async def test_pcm_comes_at_the_rate_asked_for(call: Call) -> None:
    result = await call("synthesize", text="Good morning.", format="pcm", sample_rate_hz=16_000)
    samples = float_from_pcm16(base64.b64decode(result.audio))
    assert (result.sample_rate_hz, result.content_type) == (16_000, "audio/pcm")
    assert result.duration_s == pytest.approx(len(samples) / 16_000)
    assert [word.text for word in decode_words(samples)] == ["Good", "morning."]


async def test_the_voices_own_rate_is_the_default(call: Call) -> None:
    assert (await call("synthesize", text="Hi.", voice="fake-bass")).sample_rate_hz == 22_050


async def test_pieces_of_audio_come_before_the_result_and_are_all_of_it(call: Call, events: list[ToolEvent]) -> None:
    result = await call("synthesize", text="One two three.", format="pcm", sample_rate_hz=24_000)
    pieces = [base64.b64decode(event.audio) for event in events if isinstance(event, ToolAudio)]
    assert len(pieces) > 1
    assert b"".join(pieces) == base64.b64decode(result.audio)
    done_s = [event.done_s for event in events if isinstance(event, ToolProgress)]
    assert done_s == sorted(done_s)
    assert done_s[-1] == pytest.approx(result.duration_s)


async def test_speed_changes_the_duration(call: Call) -> None:
    slow, fast = [await call("synthesize", text="One two three four.", speed=speed) for speed in (0.5, 2.0)]
    assert slow.duration_s > fast.duration_s


@pytest.mark.parametrize("text", ["", "   ", "…!", "\n"])
async def test_a_text_without_words_is_empty(refused: Refused, text: str) -> None:
    assert (await refused(ErrorCode.EMPTY_TEXT, "synthesize", text=text)).param == "text"


async def test_a_text_beyond_the_limit_is_too_long(refused: Refused) -> None:
    error = await refused(ErrorCode.TEXT_TOO_LONG, "synthesize", text="a" * 201)
    assert "200" in error.message


async def test_an_unknown_voice_is_refused_with_those_there_are(refused: Refused) -> None:
    error = await refused(ErrorCode.UNKNOWN_VOICE, "synthesize", text="Hi.", voice="nobody")
    assert "fake-alto" in error.message


async def test_cancelling_the_call_stops_the_engine(context: ToolContext, behaviour: FakeBehaviour, call: Call) -> None:
    behaviour.hang()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(TOOLS.call, "synthesize", {"text": "Never said."}, context)
            await to_thread.run_sync(behaviour.called.wait, abandon_on_cancel=True)
            tasks.cancel_scope.cancel()
    behaviour.go_on()
    result = await call("synthesize", text="Said.", format="pcm", sample_rate_hz=16_000)
    assert np.any(float_from_pcm16(base64.b64decode(result.audio)))


async def test_audio_can_be_linked_instead(call: Call, context: ToolContext, decoder: Decoder) -> None:
    result = await call("synthesize", text="Good morning.", audio_as="link")
    assert result.audio is None
    file = context.shelf.get(context.principal.tenant, result.audio_id)
    assert file.content_type == result.content_type == "audio/wav"
    assert await heard(decoder, file.data) == "Good morning."
    assert (await call("synthesize", text="Good morning.", audio_as="base64")).audio_id is None
