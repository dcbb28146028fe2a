"""The tool ``synthesize``: text into speech."""

from __future__ import annotations

import base64
from typing import Final

import numpy as np
from anyio import to_thread

from engines.codec.encoder import content_type, encode_all
from engines.codec.resampler import Resampler
from schemas import examples
from schemas.audio import AudioFormat, Samples, pcm16_from_float
from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Scope
from schemas.speech import is_speakable
from schemas.tools import SynthesizeInput, SynthesizeOutput, ToolAnnotations, ToolAudio, ToolProgress
from tools.tool import Tool, ToolContext


async def _synthesize(context: ToolContext, arguments: SynthesizeInput) -> SynthesizeOutput:
    _check_text(arguments.text, context.limits.max_text_chars)
    voice = context.host.voice(arguments.voice)
    rate_hz = arguments.sample_rate_hz or voice.sample_rate_hz
    resampler = Resampler(voice.sample_rate_hz, rate_hz)
    pieces: list[Samples] = []

    async def add(samples: Samples) -> None:
        if len(samples):
            pieces.append(samples)
            await context.emit(ToolAudio(audio=_base64(pcm16_from_float(samples)), sample_rate_hz=rate_hz))
            await context.emit(ToolProgress(done_s=sum(map(len, pieces)) / rate_hz))

    async with context.host.synthesize(
        arguments.text, voice=voice.id, options=arguments.speech_options, deadline_s=context.engine_deadline_s()
    ) as chunks:
        async for chunk in chunks:
            await add(await to_thread.run_sync(resampler.push, chunk.samples))
    await add(resampler.flush())
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    mime_type = content_type(arguments.format)
    data = await to_thread.run_sync(encode_all, samples, arguments.format, rate_hz)
    linked = (arguments.audio_as or context.audio_as) == "link"
    return SynthesizeOutput(
        audio=None if linked else await to_thread.run_sync(_base64, data),
        audio_id=context.shelf.put(context.principal.tenant, data, mime_type).audio_id if linked else None,
        format=arguments.format,
        content_type=mime_type,
        sample_rate_hz=rate_hz,
        duration_s=len(samples) / rate_hz,
        voice=voice.id,
    )


def _check_text(text: str, max_chars: int) -> None:
    if not is_speakable(text):
        raise SpeechError(ErrorCode.EMPTY_TEXT, "There is nothing to speak in this text.", param="text")
    if len(text) > max_chars:
        raise SpeechError(
            ErrorCode.TEXT_TOO_LONG,
            f"text has {len(text)} characters; this server speaks up to {max_chars} at once. Send it in parts.",
            param="text",
        )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


TOOL: Final = Tool(
    name="synthesize",
    title="Synthesize speech",
    description=(
        "Turns text into an audio file, returned as base64 or as a link. list_voices tells which voices and languages "
        "there are. "
        "To speak to the user of a session use say instead: it plays the speech, and tells what was heard of it."
    ),
    scope=Scope.AUDIO,
    input=SynthesizeInput,
    output=SynthesizeOutput,
    handler=_synthesize,
    example=(
        SynthesizeInput(text="Hello there."),
        SynthesizeOutput(
            audio=examples.WAV,
            format=AudioFormat.WAV,
            content_type="audio/wav",
            sample_rate_hz=16_000,
            duration_s=0.001,
            voice=examples.VOICE.id,
        ),
    ),
    annotations=ToolAnnotations(read_only=True, idempotent=True, open_world=False),
)
