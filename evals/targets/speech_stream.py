"""``POST /v1/audio/speech`` of any server: raw PCM, and when each piece of it came."""

from __future__ import annotations

import time
from typing import Any, Final

import httpx

from evals.targets.base import Spoken
from evals.targets.http_errors import checked, told
from schemas.audio import float_from_pcm16
from schemas.errors import ErrorCode, SpeechError

PCM_RATE_HZ: Final = 24_000
"""Of ``response_format=pcm``, by OpenAI's documentation."""


async def streamed_speech(http: httpx.AsyncClient, body: dict[str, Any], name: str) -> Spoken:
    """What is spoken.

    Raises:
        SpeechError: ``no_audio`` if there is none, and what the server says.
    """
    pieces: list[bytes] = []
    arrivals: list[tuple[float, float]] = []
    size = 0
    began = time.perf_counter()
    async with told(name), http.stream("POST", "/v1/audio/speech", json=body) as response:
        await checked(response, name)
        async for piece in response.aiter_raw():
            size += len(piece)
            pieces.append(piece)
            if size > 1:
                arrivals.append((time.perf_counter() - began, size // 2 / PCM_RATE_HZ))
    if not arrivals:
        raise SpeechError(ErrorCode.NO_AUDIO, f"{name} sent no audio.")
    content = b"".join(pieces)
    return Spoken(
        samples=float_from_pcm16(content[: len(content) // 2 * 2]), rate_hz=PCM_RATE_HZ, arrivals=tuple(arrivals)
    )
