"""Audio that comes as an argument of a tool."""

from __future__ import annotations

import base64
import binascii
import functools
from typing import Final

from anyio import to_thread

from engines.codec.decoder import Decoder, RawPcm
from schemas.audio import PcmAudio
from schemas.errors import ErrorCode, SpeechError
from schemas.tools import AudioInput

_SLICE_CHARS: Final = 1_000_000
"""Decoding more base64 than this takes over a millisecond, in which no other thread gets to run. A multiple of 4."""


async def decoded_audio(decoder: Decoder, arguments: AudioInput) -> PcmAudio:
    """The audio of the arguments at 16 kHz.

    Raises:
        SpeechError: ``invalid_audio`` for what is no base64; whatever :meth:`engines.codec.decoder.Decoder.decode`
            raises.
    """
    decode = functools.partial(_from_base64, arguments.audio)
    data = await to_thread.run_sync(decode) if len(arguments.audio) > _SLICE_CHARS else decode()
    rate_hz = arguments.sample_rate_hz
    raw = None if rate_hz is None else RawPcm(rate_hz, arguments.channels)
    return await decoder.decode(data, raw=raw)


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
