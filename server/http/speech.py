"""``POST /v1/audio/speech``, as the OpenAI clients know it."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import anyio
from anyio import to_thread
from litestar import post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Stream
from litestar.types import ASGIApp

from engines.codec.encoder import Encoder, content_type
from engines.codec.resampler import Resampler
from engines.host import EngineHost
from schemas.audio import AudioFormat
from schemas.errors import ErrorCode, SpeechError
from schemas.openai import (
    SPEECH_RATE_HZ,
    TTS_ALIASES,
    SpeechDelta,
    SpeechDone,
    SpeechRequest,
    TokenUsage,
    VoiceRef,
)
from schemas.principal import Scope
from schemas.speech import SpeechChunk, Voice, is_speakable
from server.errors import HttpRequest, error_responses
from server.http.bodies import JSON, documented, json_body
from server.http.gate import needs
from server.http.streams import as_asgi, event_stream, streamed
from server.settings import Settings


@post(
    "/v1/audio/speech",
    status_code=200,
    operation_class=documented(SpeechRequest, JSON),
    operation_id="createSpeech",
    opt=needs(Scope.AUDIO),
    summary="Speak a text",
    description="Audio, sent piece by piece while it is made; stream_format=sse wraps the pieces in events.",
    tags=["audio"],
    responses={
        **error_responses(400, 403, 404, 413, 415, 500, 503, 504),
        200: ResponseSpec(bytes, description="The audio.", media_type="audio/*", generate_examples=False),
    },
)
async def create_speech(
    request: HttpRequest, host: NamedDependency[EngineHost], settings: NamedDependency[Settings]
) -> ASGIApp:
    """Synthesise a text."""
    spoken = await json_body(request, SpeechRequest)
    _check_text(spoken.input, settings.limits.max_text_chars)
    voice = _voice(spoken, host)
    fmt = spoken.response_format
    if spoken.stream_format == "sse":

        def respond(chunks: AsyncGenerator[SpeechChunk]) -> ASGIApp:
            events = _events(_encoded(chunks, voice.sample_rate_hz, fmt), len(spoken.input))
            return event_stream(events, drain_s=settings.server.drain_s)
    else:

        def respond(chunks: AsyncGenerator[SpeechChunk]) -> ASGIApp:
            body = _encoded(chunks, voice.sample_rate_hz, fmt)
            return as_asgi(Stream(body, media_type=content_type(fmt)), request)

    deadline_s = anyio.current_time() + settings.limits.request_timeout_s
    return streamed(
        lambda: host.synthesize(spoken.input, voice=voice.id, options=spoken.speech_options, deadline_s=deadline_s),
        respond,
    )


def _check_text(text: str, limit_chars: int) -> None:
    if not is_speakable(text):
        raise SpeechError(
            ErrorCode.EMPTY_TEXT, "input is empty, or has no letter or digit; send a text to speak.", param="input"
        )
    if len(text) > limit_chars:
        raise SpeechError(
            ErrorCode.TEXT_TOO_LONG,
            f"input has {len(text)} characters; this server speaks up to {limit_chars} at once. Send it in parts.",
            param="input",
        )


def _voice(spoken: SpeechRequest, host: EngineHost) -> Voice:
    name = spoken.voice.id if isinstance(spoken.voice, VoiceRef) else spoken.voice
    if spoken.model is None or spoken.model in TTS_ALIASES:
        return host.voice(name)
    of_model = [voice for voice in host.voices() if voice.model == spoken.model]
    if not of_model:
        models = sorted({voice.model for voice in host.voices()})
        raise SpeechError(
            ErrorCode.UNKNOWN_MODEL,
            f"model is not a synthesis model of this server; there are: {', '.join(models) or 'none'}.",
            param="model",
        )
    if name is None:
        return of_model[0]
    voice = host.voice(name)
    if voice not in of_model:
        raise SpeechError(
            ErrorCode.UNKNOWN_VOICE,
            f"voice is not one of {spoken.model}, which has: {', '.join(voice.id for voice in of_model)}.",
            param="voice",
        )
    return voice


async def _encoded(chunks: AsyncIterator[SpeechChunk], sample_rate_hz: int, fmt: AudioFormat) -> AsyncGenerator[bytes]:
    resampler = Resampler(sample_rate_hz, SPEECH_RATE_HZ)
    encoder = Encoder(fmt, SPEECH_RATE_HZ)
    async for chunk in chunks:
        piece = chunk
        if data := await to_thread.run_sync(lambda: encoder.encode(resampler.push(piece.samples))):  # noqa: B023
            yield data
    if data := await to_thread.run_sync(lambda: encoder.encode(resampler.flush()) + encoder.finish()):
        yield data


async def _events(audio: AsyncIterator[bytes], input_chars: int) -> AsyncGenerator[SpeechDelta | SpeechDone]:
    async for data in audio:
        yield SpeechDelta(audio=base64.b64encode(data).decode())
    yield SpeechDone(usage=TokenUsage(input_tokens=input_chars, output_tokens=0, total_tokens=input_chars))


ROUTES: Final = (create_speech,)
