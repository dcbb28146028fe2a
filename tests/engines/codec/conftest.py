"""Fixtures of the codec tests: one decoder a module, and small files of every kind."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, Callable

import av
import numpy as np
import pytest

from engines.codec.decoder import DecodeLimits, Decoder
from engines.codec.encoder import encode_all
from schemas.audio import AudioFormat, Samples

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As in the root, but for a whole module, so that one decoder serves all of its tests."""
    return "asyncio"


@pytest.fixture(scope="module")
async def decoder() -> AsyncGenerator[Decoder]:
    async with Decoder(DecodeLimits(max_duration_s=600)) as running:
        yield running


@pytest.fixture(scope="session")
def chirp() -> Samples:
    """One second at 16 kHz, 200 to 2,000 Hz: no two moments sound alike, so that a shift shows."""
    seconds = np.arange(RATE_HZ) / RATE_HZ
    return (0.5 * np.sin(2 * np.pi * (200 + 900 * seconds) * seconds)).astype(np.float32)


Mux = Callable[[str, str, Samples], bytes]


@pytest.fixture(scope="session")
def mux() -> Mux:
    """A file in a container that the encoder does not write: ``mux(container, codec, samples)``."""

    def write(container: str, codec: str, samples: Samples) -> bytes:
        file = io.BytesIO()
        with av.open(file, "w", format=container) as opened:
            stream = opened.add_stream(codec, rate=RATE_HZ, layout="mono")  # pyright: ignore[reportUnknownMemberType]
            assert isinstance(stream, av.AudioStream)
            frame = av.AudioFrame.from_ndarray(samples[None, :], format="flt", layout="mono")
            frame.sample_rate = RATE_HZ
            frame.pts = 0
            for packets in (stream.encode(frame), stream.encode(None)):  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
                opened.mux(packets)  # pyright: ignore[reportUnknownMemberType]
        return file.getvalue()

    return write


@pytest.fixture(scope="session")
def small_files(chirp: Samples, mux: Mux) -> dict[str, bytes]:
    """The chirp in every container that is read."""
    files = {fmt.value: encode_all(chirp, fmt, RATE_HZ) for fmt in AudioFormat if fmt is not AudioFormat.PCM}
    files["m4a"] = mux("ipod", "aac", chirp)
    files["webm"] = mux("webm", "libopus", chirp)
    return files
