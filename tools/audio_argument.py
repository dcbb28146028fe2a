"""Audio that comes as an argument of a tool."""

from __future__ import annotations

import base64
import binascii
import functools
from typing import Final

from anyio import to_thread

from engines.codec.decoder import RawPcm
from schemas.audio import PcmAudio
from schemas.errors import ErrorCode, SpeechError
from schemas.tools import AudioInput
from tools.tool import ToolContext

_SLICE_CHARS: Final = 1_000_000
"""Decoding more base64 than this takes over a millisecond, in which no other thread gets to run. A multiple of 4."""


async def decoded_audio(context: ToolContext, arguments: AudioInput) -> PcmAudio:
    """The audio of the arguments at 16 kHz.

    Raises:
        SpeechError: ``invalid_request`` unless there is one of audio and audio_url; ``invalid_audio`` for what is no
            base64; whatever :meth:`engines.public_http.Fetcher.fetch` and :meth:`engines.codec.decoder.Decoder.decode`
            raise.
    """
    match arguments.audio, arguments.audio_url:
        case str(text), None:
            decode = functools.partial(_from_base64, text)
            data = await to_thread.run_sync(decode) if len(text) > _SLICE_CHARS else decode()
        case None, str(url):
            data = await context.fetcher.fetch(url, context.principal.tenant)
        case _:
            raise SpeechError(ErrorCode.INVALID_REQUEST, "Send either audio or audio_url.", param="audio")
    rate_hz = arguments.sample_rate_hz
    raw = None if rate_hz is None else RawPcm(rate_hz, arguments.channels)
    return await context.decoder.decode(data, raw=raw)


def _from_base64(text: str) -> bytes:
    try:
        return b"".join(
            base64.b64decode(text[start : start + _SLICE_CHARS], validate=True)
            for start in range(0, len(text), _SLICE_CHARS)
        )
    except (binascii.Error, ValueError) as error:
        raise SpeechError(
            ErrorCode.INVALID_AUDIO,
            "audio is not valid base64. Send the bytes of the file in the standard alphabet, padded with =, without "
            "line breaks and without a data: prefix.",
            param="audio",
        ) from error
