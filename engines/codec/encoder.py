"""Audio into the formats of the OpenAI audio API.

:class:`Encoder` streams: bytes come out as soon as the codec has a whole frame, so that a listener hears the
beginning while the end is still being spoken. A stream cannot go back and fill in its length, which shows in two
formats: WAV carries ``0xFFFFFFFF`` for both sizes (what OpenAI's API sends and ffmpeg writes into a pipe; players
read to the end) and FLAC an unknown number of samples. :func:`encode_all` writes the true lengths, and for MP3 the
Xing header that lets players cut the codec's padding.

Everything here is bound by the CPU and blocks: call it on a worker thread.
"""

from __future__ import annotations

import io
from typing import Final, Literal

import av
import numpy as np
from msgspec import Struct

from engines.codec.resampler import Resampler
from schemas.audio import AudioFormat, Samples, pcm16_from_float

_CONTENT_TYPES: Final = {
    AudioFormat.MP3: "audio/mpeg",
    AudioFormat.OPUS: "audio/opus",
    AudioFormat.AAC: "audio/aac",
    AudioFormat.FLAC: "audio/flac",
    AudioFormat.WAV: "audio/wav",
    AudioFormat.PCM: "audio/pcm",
}


class _Coding(Struct, frozen=True):
    """How one format is written."""

    container: str
    """The muxer, by FFmpeg's name."""
    codec: Literal["libmp3lame", "libopus", "aac", "flac", "pcm_s16le"]
    bit_rate_bps: int | None = None
    rates_hz: tuple[int, ...] | None = None
    """The rates the codec has, ascending; ``None`` for any."""
    codec_options: dict[str, str] = {}
    streaming_options: dict[str, str] = {}
    """Of the container, when it is written as a stream."""


_MPEG_RATES_HZ: Final = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)

_CODINGS: Final = {
    # A Xing header is written last into the first frame, which a stream has sent by then.
    AudioFormat.MP3: _Coding(
        "mp3", "libmp3lame", 64_000, _MPEG_RATES_HZ, streaming_options={"write_xing": "0", "id3v2_version": "0"}
    ),
    # Ogg holds packets back until a page is full, one second by default: too long for a conversation. Low delay saves
    # 4 ms as well, but stands here because it leaves SILK out, which FFmpeg's own decoder distorts.
    AudioFormat.OPUS: _Coding(
        "ogg",
        "libopus",
        48_000,
        (8_000, 12_000, 16_000, 24_000, 48_000),
        codec_options={"application": "lowdelay"},
        streaming_options={"page_duration": "100000"},
    ),
    AudioFormat.AAC: _Coding("adts", "aac", 64_000, _MPEG_RATES_HZ),
    AudioFormat.FLAC: _Coding("flac", "flac"),
    AudioFormat.WAV: _Coding("wav", "pcm_s16le"),
}


class _Pipe:
    """The end of a stream that is written once and never sought in."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        """What was written since the last call."""
        data = bytes(self._written)
        self._written.clear()
        return data


class _Muxed:
    """One mono stream in one container, written to a file object."""

    def __init__(self, coding: _Coding, sample_rate_hz: int, file: _Pipe | io.BytesIO, options: dict[str, str]) -> None:
        self._resampler = Resampler(sample_rate_hz, _codec_rate_hz(coding, sample_rate_hz))
        # bitexact leaves out a chunk that names the writer: a WAV header has the 44 bytes that simple readers expect.
        self._container = av.open(file, "w", format=coding.container, options={"fflags": "+bitexact", **options})
        self._stream = self._container.add_stream(  # pyright: ignore[reportUnknownMemberType]  # untyped **kwargs
            coding.codec, rate=self._resampler.to_hz, layout="mono", options=coding.codec_options
        )
        if coding.bit_rate_bps is not None:
            self._stream.bit_rate = coding.bit_rate_bps
        # Writes the header now, so that a stream of no samples is still a file.
        self._container.start_encoding()
        self._written_samples = 0

    def write(self, samples: Samples) -> None:
        self._write_resampled(self._resampler.push(samples))

    def close(self) -> None:
        self._write_resampled(self._resampler.flush())
        self._mux(None)
        self._container.close()

    def _write_resampled(self, samples: Samples) -> None:
        if not len(samples):
            return
        # The stream cuts frames to the codec's length and converts the sample format.
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[None, :], format="flt", layout="mono")
        frame.sample_rate = self._resampler.to_hz
        frame.pts = self._written_samples
        self._written_samples += len(samples)
        self._mux(frame)

    def _mux(self, frame: av.AudioFrame | None) -> None:
        packets = self._stream.encode(frame)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        self._container.mux(packets)  # pyright: ignore[reportUnknownMemberType]  # PyAV's Packet has an unset parameter


class Encoder:
    """Encodes one utterance, streaming. Blocks; for one thread at a time.

    Args:
        fmt: The format.
        sample_rate_hz: Rate of the samples that will come. Codecs that have not this rate are fed the next higher
            one they have; ``pcm`` keeps it, since nothing in the bytes says it.
    """

    def __init__(self, fmt: AudioFormat, sample_rate_hz: int) -> None:
        self._pipe = _Pipe()
        self._muxed: _Muxed | None = None
        if fmt is not AudioFormat.PCM:
            coding = _CODINGS[fmt]
            options = {"flush_packets": "1", **coding.streaming_options}
            self._muxed = _Muxed(coding, sample_rate_hz, self._pipe, options)

    def encode(self, samples: Samples) -> bytes:
        """The bytes that these samples, ``float32, (n,)``, -1…1, make ready; may be none."""
        if self._muxed is None:
            return pcm16_from_float(samples)
        self._muxed.write(samples)
        return self._pipe.take()

    def finish(self) -> bytes:
        """The last bytes. Call once; nothing may be encoded after."""
        if self._muxed is None:
            return b""
        self._muxed.close()
        return self._pipe.take()


def content_type(fmt: AudioFormat) -> str:
    """The ``Content-Type`` of a format.

    The values OpenAI's API sends; clients choose their decoder by them (LiveKit's OpenAI plugin reads ``audio/opus``
    as Ogg and ``audio/pcm`` as 24 kHz mono).
    """
    return _CONTENT_TYPES[fmt]


def encode_all(samples: Samples, fmt: AudioFormat, sample_rate_hz: int) -> bytes:
    """A whole file, with true lengths in its header. Blocks.

    Args:
        samples: ``float32, (n,)``, -1…1.
        fmt: The format.
        sample_rate_hz: Rate of ``samples``.
    """
    if fmt is AudioFormat.PCM:
        return pcm16_from_float(samples)
    file = io.BytesIO()
    muxed = _Muxed(_CODINGS[fmt], sample_rate_hz, file, {})
    muxed.write(samples)
    muxed.close()
    return file.getvalue()


def _codec_rate_hz(coding: _Coding, sample_rate_hz: int) -> int:
    if coding.rates_hz is None:
        return sample_rate_hz
    return next((rate_hz for rate_hz in coding.rates_hz if rate_hz >= sample_rate_hz), coding.rates_hz[-1])
