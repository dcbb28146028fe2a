"""Audio files that are trusted, as samples, and samples as files."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any, cast

import av
import numpy as np

from schemas.audio import SESSION_RATE_HZ, Samples, float_from_pcm16, pcm16_from_float


def decode(source: Path | bytes, channel: int | None = 0) -> Samples:
    """``float32, (n,)``, 16 kHz.

    Args:
        source: A file, or what is in one.
        channel: Counts from 0; ``None`` mixes all.

    Raises:
        ValueError: There is no audio in it.
    """
    pieces: list[np.ndarray[Any, Any]] = []
    layout = "mono" if channel is None else None
    try:
        with cast("Any", av).open(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as container:
            resampler = cast("Any", av).AudioResampler(format="s16p", layout=layout, rate=SESSION_RATE_HZ)
            for frame in [*container.decode(audio=0), None]:
                pieces += [out.to_ndarray() for out in resampler.resample(frame)]
    except cast("type[Exception]", cast("Any", av).FFmpegError) as error:
        raise ValueError(f"it cannot be decoded: {error}") from error
    if not pieces:
        raise ValueError("there is no audio in it")
    return float_from_pcm16(np.ascontiguousarray(np.concatenate(pieces, axis=1)[channel or 0]).tobytes())


def wav(samples: Samples, rate_hz: int = SESSION_RATE_HZ) -> bytes:
    """A WAV file of 16 bits.

    Args:
        samples: ``float32, (n,)``.
        rate_hz: Theirs.
    """
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes(pcm16_from_float(samples))
    return file.getvalue()
