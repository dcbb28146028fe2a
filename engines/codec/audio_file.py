"""One uploaded file, decoded. Runs inside the decode worker, where FFmpeg may fail as it likes.

What comes out is mono (the mean of all channels) signed 16-bit PCM at the rate asked for, sample for sample what
faster-whisper's own loader makes of the file, and by the same means: FFmpeg's resampler. Recognition is sensitive to
less than it seems: with another resampler, one no worse, 12 of 56 recordings got another transcript. The samples are
kept until the whole file is decoded, so that one that turns out too long costs the server nothing.

Damaged files. A broken packet is left out, as long as few are: two (a file cut off at either end has one there) and
one in 50 of those that decode. That is what a phone line loses; beyond it a transcript would miss words that were
said, and nobody would know, so the file is refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Final, cast

import av
import numpy as np
from av.container import InputContainer
from av.error import EOFError as EndOfStreamError
from av.error import FFmpegError

from engines.codec.container import Container
from schemas.errors import ErrorCode, SpeechError

MIN_RATE_HZ: Final = 1_000
MAX_RATE_HZ: Final = 384_000
MAX_CHANNELS: Final = 64

_DECODERS: Final = frozenset(
    "aac aac_latm adpcm_ima_wav adpcm_ms alac flac gsm_ms libopus mp1 mp1float mp2 mp2float mp3 mp3float opus "
    "pcm_alaw pcm_f32be pcm_f32le pcm_f64be pcm_f64le pcm_mulaw pcm_s16be pcm_s16le pcm_s24be pcm_s24le "
    "pcm_s32be pcm_s32le pcm_s8 pcm_u8 vorbis".split()
)
"""FFmpeg's decoders for what people record in. It has 500; the others stay closed."""

_OPTIONS: Final = {Container.WAV: {"probesize": "2048", "max_size": "65536"}}
"""FFmpeg looks for DTS disguised as PCM in all of a short WAV, which takes longer than decoding it, and cuts packets
of 4 kB; both in bytes."""

_BROKEN_PACKETS_ALLOWED: Final = 2
_PACKETS_PER_BROKEN_ONE: Final = 50

_PADDING_S: Final = 0.25
"""Codecs fill up their last frame, and some the first: a recording of exactly the longest duration is accepted."""

_BATCH_FRAMES: Final = 16_384
"""Sample frames that are mixed and resampled together: codecs give as few as one at a time."""

_STEREO: Final = 2


def decode_file(file: bytes, container: Container, *, sample_rate_hz: int, max_duration_s: float) -> list[bytes]:
    """The audio of a file as pieces of 16-bit mono PCM at ``sample_rate_hz``. Blocks.

    Raises:
        SpeechError: ``invalid_audio``, ``unsupported_format`` (the codec), ``no_audio`` or ``audio_too_long``.
    """
    try:
        with _open(file, container) as opened:
            if _packet_seconds(opened, max_duration_s) > max_duration_s + _PADDING_S:
                raise _too_long(max_duration_s)
        with _open(file, container) as opened:
            return _decode_packets(opened, sample_rate_hz, max_duration_s)
    except MemoryError:
        raise SpeechError(
            ErrorCode.INVALID_AUDIO, "Decoding the audio takes more memory than is allowed. Send it in shorter pieces."
        ) from None
    except FFmpegError as error:
        raise _invalid(f"The {container.name} file is damaged") from error


def _open(file: bytes, container: Container) -> InputContainer:
    return av.open(
        io.BytesIO(file),
        "r",
        format=container.value,
        options={"codec_whitelist": ",".join(sorted(_DECODERS)), **_OPTIONS.get(container, {})},
        metadata_errors="ignore",
    )


def _audio_stream(container: InputContainer) -> av.AudioStream:
    """The first audio track, if it is one that can be decoded."""
    if not container.streams.audio:
        raise SpeechError(ErrorCode.NO_AUDIO, "The file has no audio track. Send a recording that holds sound.")
    stream = container.streams.audio[0]
    # Typed as always there, but absent where FFmpeg could not make out the codec (PyAV's issue 2344).
    codec_context = cast("av.AudioCodecContext | None", stream.codec_context)
    if codec_context is None:
        raise _invalid("The codec of the audio track cannot be made out")
    if codec_context.name not in _DECODERS:
        raise SpeechError(ErrorCode.UNSUPPORTED_FORMAT, f"The codec {codec_context.name} is not supported.")
    # Some codecs say it only in their frames, which are checked as well.
    _check_shape(codec_context.sample_rate or MIN_RATE_HZ, codec_context.channels or 1)
    codec_context.thread_count = 1
    return stream


def _packet_seconds(container: InputContainer, max_duration_s: float) -> float:
    """How long the packets claim to be: found without decoding, so that a bomb is refused at a glance."""
    stream = _audio_stream(container)
    if stream.time_base is None:
        return 0.0
    ticks, max_ticks = 0, (max_duration_s + _PADDING_S) / stream.time_base
    try:
        for packet in container.demux(stream):
            ticks += packet.duration or 0
            if ticks > max_ticks:
                break
    except FFmpegError:
        pass  # What is damaged shows when it is decoded.
    return float(ticks * stream.time_base)


def _decode_packets(container: InputContainer, sample_rate_hz: int, max_duration_s: float) -> list[bytes]:
    mono = _MonoPcm16(sample_rate_hz, max_duration_s)
    broken = decoded = 0
    for frames in _frames_by_packet(container):
        if frames is None:
            broken += 1
            continue
        decoded += 1
        for frame in frames:
            mono.add(frame)
    if broken > _BROKEN_PACKETS_ALLOWED + decoded // _PACKETS_PER_BROKEN_ONE or (broken and not mono.heard):
        raise _invalid(f"{broken} of {broken + decoded} packets of the file are damaged")
    if not mono.heard:
        raise SpeechError(ErrorCode.NO_AUDIO, "The file decodes to no audio at all. Send a recording that holds sound.")
    return mono.finish()


def _frames_by_packet(container: InputContainer) -> Iterator[list[av.AudioFrame] | None]:
    """The frames of each packet; ``None`` for one that does not decode."""
    packets = container.demux(_audio_stream(container))
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
        except FFmpegError:  # Nothing after this can be read.
            yield None
            return
        try:
            yield packet.decode()
        except EndOfStreamError:
            return
        except FFmpegError:
            yield None


class _MonoPcm16:
    """Collects frames of any shape as mono 16-bit PCM at one rate."""

    def __init__(self, sample_rate_hz: int, max_duration_s: float) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._max_duration_s = max_duration_s
        self._seconds = 0.0
        self._shape: tuple[str, int, int] | None = None
        self._fifo = av.AudioFifo()
        self._resampler = self._new_resampler()
        self._pieces: list[bytes] = []

    @property
    def heard(self) -> bool:
        """Whether there was any audio."""
        return self._seconds > 0

    def add(self, frame: av.AudioFrame) -> None:
        rate_hz, channels = frame.sample_rate, frame.layout.nb_channels
        shape = (frame.format.name, rate_hz, channels)
        if shape != self._shape:  # Streams may change it on their way.
            _check_shape(rate_hz, channels)
            self._flush()
            self._shape = shape
        self._seconds += frame.samples / rate_hz
        if self._seconds > self._max_duration_s + _PADDING_S:
            raise _too_long(self._max_duration_s)
        frame.pts = None  # Samples follow each other, whatever the times in a damaged file say.
        self._fifo.write(frame)
        if self._fifo.samples >= _BATCH_FRAMES:
            self._convert()

    def finish(self) -> list[bytes]:
        self._flush()
        return self._pieces

    def _new_resampler(self) -> av.AudioResampler:
        return av.AudioResampler(format="s16", layout="mono", rate=self._sample_rate_hz)

    def _convert(self) -> None:
        frame = self._fifo.read()
        if frame is not None:
            self._keep(_mixed(frame) if frame.layout.nb_channels > _STEREO else frame)

    def _flush(self) -> None:
        if self._shape is None:
            return
        self._convert()
        self._keep(None)
        self._fifo = av.AudioFifo()
        self._resampler = self._new_resampler()

    def _keep(self, frame: av.AudioFrame | None) -> None:
        self._pieces += [ready.to_ndarray().tobytes() for ready in self._resampler.resample(frame)]


def _mixed(frame: av.AudioFrame) -> av.AudioFrame:
    """The mean of all channels. FFmpeg has a matrix for the layouts of films and none for 17 microphones."""
    # Planar frames are (channels, n); packed ones (1, n * channels), channel after channel.
    array = frame.to_ndarray()
    planes = array if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels).T
    mean = planes.mean(axis=0, dtype=np.float64)
    match planes.dtype.kind, planes.dtype.itemsize:
        case "u", _:
            mean = mean / 128 - 1
        case "i", size_bytes:
            mean /= 1 << 8 * size_bytes - 1
        case _:
            pass
    mixed = av.AudioFrame.from_ndarray(mean.astype(np.float32)[None, :], format="flt", layout="mono")
    mixed.sample_rate = frame.sample_rate
    return mixed


def _check_shape(rate_hz: int, channels: int) -> None:
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise _invalid(f"A sample rate of {rate_hz} Hz is outside {MIN_RATE_HZ}…{MAX_RATE_HZ} Hz")
    if not 1 <= channels <= MAX_CHANNELS:
        raise _invalid(f"{channels} channels are outside 1…{MAX_CHANNELS}")


def _invalid(what: str) -> SpeechError:
    return SpeechError(ErrorCode.INVALID_AUDIO, f"{what}. Record or export the audio again.")


def _too_long(max_duration_s: float) -> SpeechError:
    return SpeechError(
        ErrorCode.AUDIO_TOO_LONG, f"The audio is longer than {max_duration_s:g} seconds. Send it in shorter pieces."
    )
