"""Audio through FFmpeg: its codecs, and its change of tempo."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any, Final, cast

import av
import numpy as np
from msgspec import Struct

from schemas.audio import SESSION_RATE_HZ, Samples

_ffmpeg: Final = cast("Any", av)  # PyAV's types do not say what its streams are of


class Codec(Struct, frozen=True, kw_only=True):
    """How audio is encoded on its way."""

    name: str
    """FFmpeg's name of the encoder."""
    container: str
    rate_hz: int
    bit_rate: int | None = None
    """Bits a second; the codec's own where it has no choice."""


G711: Final = Codec(name="pcm_mulaw", container="wav", rate_hz=8_000)
"""A telephone line: ITU-T G.711, mu-law."""


def opus(bit_rate: int) -> Codec:
    """Opus, which narrows its band at low rates."""
    return Codec(name="libopus", container="ogg", rate_hz=SESSION_RATE_HZ, bit_rate=bit_rate)


def coded(samples: Samples, codec: Codec) -> Samples:
    """Encoded and decoded: as long as before, and not later.

    Args:
        samples: ``float32, (n,)``, 16 kHz.
        codec: Which.
    """
    file = io.BytesIO()
    with _ffmpeg.open(file, "w", format=codec.container) as container:
        stream = container.add_stream(codec.name, rate=codec.rate_hz, layout="mono")
        if codec.bit_rate is not None:
            stream.bit_rate = codec.bit_rate
        encoder = stream.codec_context
        resampler = _ffmpeg.AudioResampler(
            format=encoder.format, layout="mono", rate=codec.rate_hz, frame_size=encoder.frame_size or None
        )
        for frame in [*resampler.resample(_frame(samples)), *resampler.resample(None), None]:
            container.mux(stream.encode(frame))
    file.seek(0)
    pieces: list[Samples] = []
    with _ffmpeg.open(file) as container:
        resampler = _ffmpeg.AudioResampler(format="fltp", layout="mono", rate=SESSION_RATE_HZ)
        for frame in [*container.decode(audio=0), None]:
            pieces += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
    whole = np.concatenate(pieces)[: len(samples)]
    return np.pad(whole, (0, len(samples) - len(whole)))


def at_tempo(samples: Samples, tempo: float) -> Samples:
    """Spoken so many times faster, at the same pitch.

    Args:
        samples: ``float32, (n,)``, 16 kHz.
        tempo: From 0.5 to 2.
    """
    graph = _ffmpeg.filter.Graph()
    time_base = Fraction(1, SESSION_RATE_HZ)
    source = graph.add_abuffer(format="fltp", sample_rate=SESSION_RATE_HZ, layout="mono", time_base=time_base)
    graph.link_nodes(source, graph.add("atempo", str(tempo)), graph.add("abuffersink")).configure()
    graph.push(_frame(samples))
    graph.push(None)
    pieces: list[Samples] = []
    while True:
        try:
            pieces.append(graph.pull().to_ndarray()[0])
        except (_ffmpeg.error.BlockingIOError, _ffmpeg.error.EOFError):
            return np.concatenate(pieces)


def _frame(samples: Samples) -> Any:  # noqa: ANN401  PyAV's
    frame = _ffmpeg.AudioFrame.from_ndarray(np.ascontiguousarray(samples[np.newaxis]), format="fltp", layout="mono")
    frame.sample_rate = SESSION_RATE_HZ
    frame.pts = 0
    return frame
