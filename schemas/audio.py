"""Audio values.

Inside the server audio is ``float32`` in -1…1, mono, at a stated rate; on the wire raw PCM is signed 16-bit
little-endian. Recognition, voice activity and time inside a session run at :data:`SESSION_RATE_HZ`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

SESSION_RATE_HZ: Final = 16_000
"""Hertz. The rate of Whisper, Silero VAD and smart-turn, and so the clock of a session."""

VAD_FRAME_SAMPLES: Final = 512
"""32 ms at :data:`SESSION_RATE_HZ`: the one frame length Silero VAD v6 was trained for, and the step of a session."""

PCM16_SCALE: Final = 32_768.0

Samples = NDArray[np.float32]
"""``float32, (n,)``, mono, -1…1."""


AudioUrl = Annotated[str, Meta(min_length=1, max_length=2_048)]
"""Of a file with audio in it, http or https."""


class AudioFormat(StrEnum):
    """Containers and codecs that audio is written in, by the names of the OpenAI audio API."""

    MP3 = "mp3"
    OPUS = "opus"
    AAC = "aac"
    FLAC = "flac"
    WAV = "wav"
    PCM = "pcm"


class PcmAudio(Struct, frozen=True, eq=False):
    """Decoded mono audio."""

    samples: Samples
    """``float32, (n,)``, -1…1."""
    sample_rate_hz: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate_hz


def pcm16_from_float(samples: Samples) -> bytes:
    """Float samples as signed 16-bit little-endian PCM; values beyond ±1 are clipped."""
    scaled = np.rint(np.clip(samples, -1.0, 1.0) * PCM16_SCALE)
    return np.clip(scaled, -PCM16_SCALE, PCM16_SCALE - 1).astype("<i2").tobytes()


def float_from_pcm16(data: bytes | bytearray | memoryview) -> Samples:
    """Signed 16-bit little-endian PCM as ``float32, (n,)``.

    The caller guarantees an even number of bytes; ``ValueError`` otherwise.
    """
    return np.frombuffer(data, dtype="<i2") * np.float32(1 / PCM16_SCALE)
