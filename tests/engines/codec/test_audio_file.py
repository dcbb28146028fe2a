from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Sequence

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.codec.audio_file import decode_file
from engines.codec.container import Container, sniff
from engines.codec.encoder import encode_all
from schemas.audio import AudioFormat, Samples, float_from_pcm16
from schemas.errors import ErrorCode, SpeechError


def decode(file: bytes, container: Container, sample_rate_hz: int = 16_000, max_duration_s: float = 60) -> Samples:
    pieces = decode_file(file, container, sample_rate_hz=sample_rate_hz, max_duration_s=max_duration_s)
    return float_from_pcm16(b"".join(pieces))


def wav(format_tag: int, channels: int, rate_hz: int, bits: int, data: bytes, data_bytes: int | None = None) -> bytes:
    """A WAV file whose header may lie."""
    frame_bytes = channels * bits // 8 & 0xFFFF
    fmt = struct.pack(
        "<HHIIHH", format_tag, channels, rate_hz & 0xFFFFFFFF, rate_hz * frame_bytes & 0xFFFFFFFF, frame_bytes, bits
    )
    size = len(data) if data_bytes is None else data_bytes
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", min(len(body), 0xFFFFFFFF)) + body


def interleaved(channels: Sequence[NDArray[np.generic]]) -> bytes:
    return np.stack(channels, axis=1).tobytes()


@pytest.mark.parametrize(
    ("tag", "bits", "dtype", "scale"),
    [(1, 8, "u1", 128), (1, 16, "<i2", 2**15), (1, 32, "<i4", 2**31), (3, 32, "<f4", 1), (3, 64, "<f8", 1)],
)
def test_every_sample_format_has_the_same_loudness(
    chirp: Samples, tag: int, bits: int, dtype: str, scale: float
) -> None:
    stored = chirp.astype(np.float64) * scale + (128 if dtype == "u1" else 0)
    data = (np.rint(stored) if tag == 1 else stored).astype(dtype).tobytes()
    heard = decode(wav(tag, 1, 16_000, bits, data), Container.WAV)
    np.testing.assert_allclose(heard, chirp, atol=1 / 128 if bits == 8 else 1 / 32_768)


def test_sixteen_bit_mono_at_the_rate_asked_for_arrives_unchanged() -> None:
    pcm = np.arange(-32_768, 32_768, dtype="<i2").tobytes()
    pieces = decode_file(wav(1, 1, 16_000, 16, pcm), Container.WAV, sample_rate_hz=16_000, max_duration_s=60)
    assert b"".join(pieces) == pcm


@pytest.mark.parametrize("channels", [2, 3, 6, 8, 64])
def test_channels_are_mixed_with_equal_weights(channels: int) -> None:
    levels = np.linspace(-16_000, 16_000 + channels, channels).astype("<i2")
    data = np.tile(levels, 1_000).tobytes()
    heard = decode(wav(1, channels, 16_000, 16, data), Container.WAV)
    assert len(heard) == 1_000
    np.testing.assert_allclose(heard, levels.mean() / 32_768, atol=1 / 32_768)


@pytest.mark.parametrize("rate_hz", [1_000, 8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 384_000])
def test_any_sensible_rate_keeps_the_duration(rate_hz: int) -> None:
    data = bytes(2 * 2 * rate_hz)
    assert abs(len(decode(wav(1, 2, rate_hz, 16, data), Container.WAV)) - 16_000) <= 1


def test_infinities_and_nonsense_in_a_float_file_stay_where_they_are() -> None:
    samples = np.zeros(48_000, dtype="<f4")
    samples[100:104] = np.nan, np.inf, -np.inf, 1e38
    heard = decode(wav(3, 1, 48_000, 32, samples.tobytes()), Container.WAV)
    assert np.abs(heard).max() <= 1
    assert not heard[1_000:].any()


@pytest.mark.parametrize(
    ("channels", "rate_hz", "what"),
    [(1, 2**31, "2³¹ Hz"), (1, 0, "0 Hz"), (1, 999, "below 1 kHz"), (65_535, 16_000, "65k channels"), (0, 16_000, "0")],
)
def test_impossible_shapes_are_refused(channels: int, rate_hz: int, what: str) -> None:
    with pytest.raises(SpeechError) as caught:
        decode(wav(1, channels, rate_hz, 16, bytes(200_000)), Container.WAV)
    assert caught.value.code is ErrorCode.INVALID_AUDIO, what


@pytest.mark.parametrize("data_bytes", [0xFFFFFFFF, 0xFFFFFFF0, 0x7FFFFFFF, 10_000_000])
def test_a_wav_that_promises_more_than_it_holds_is_read_to_its_end(chirp: Samples, data_bytes: int) -> None:
    data = (chirp * 32_767).astype("<i2").tobytes()
    assert len(decode(wav(1, 1, 16_000, 16, data, data_bytes), Container.WAV)) == len(chirp)


def test_a_codec_that_nobody_records_in_stays_closed() -> None:
    with pytest.raises(SpeechError) as caught:
        decode(wav(0x2001, 2, 48_000, 16, bytes(10_000)), Container.WAV)  # DTS
    assert caught.value.code in {ErrorCode.UNSUPPORTED_FORMAT, ErrorCode.INVALID_AUDIO}


def test_a_file_without_an_audio_track_is_no_audio() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as opened:
        stream = opened.add_stream("mpeg4", rate=10)  # pyright: ignore[reportUnknownMemberType]
        stream.width = stream.height = 64
        frame = av.VideoFrame(64, 64, "yuv420p")
        for packets in (stream.encode(frame), stream.encode(None)):  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            opened.mux(packets)  # pyright: ignore[reportUnknownMemberType]
    with pytest.raises(SpeechError) as caught:
        decode(file.getvalue(), Container.WEBM)
    assert caught.value.code is ErrorCode.NO_AUDIO


def flac_with_broken_frames(chirp: Samples, seconds: int, broken: int) -> bytes:
    """FLAC of which some frames in the middle have a subframe of no known kind."""
    file = bytearray(encode_all(np.tile(chirp, seconds), AudioFormat.FLAC, 16_000))
    starts = [match.start() for match in re.finditer(rb"\xff\xf8", file)]
    for start in starts[10 : 10 + broken]:
        file[start + 8 : start + 40] = b"\xff" * 32
    return bytes(file)


def test_a_few_broken_packets_are_left_out(chirp: Samples) -> None:
    heard = decode(flac_with_broken_frames(chirp, 20, 2), Container.FLAC)
    assert 19 < len(heard) / 16_000 <= 20


def test_more_than_a_few_broken_packets_are_refused(chirp: Samples) -> None:
    with pytest.raises(SpeechError) as caught:
        decode(flac_with_broken_frames(chirp, 20, 40), Container.FLAC)
    assert caught.value.code is ErrorCode.INVALID_AUDIO


@pytest.mark.parametrize("fmt", [fmt for fmt in AudioFormat if fmt is not AudioFormat.PCM])
def test_of_a_file_that_was_cut_off_what_is_there_is_heard(fmt: AudioFormat, chirp: Samples) -> None:
    file = encode_all(np.tile(chirp, 6), fmt, 16_000)
    container = sniff(file)
    assert container is not None
    heard = decode(file[: len(file) * 2 // 3], container)
    assert 3 <= len(heard) / 16_000 < 5


def test_of_webm_that_was_cut_off_what_is_there_is_heard(chirp: Samples, mux: Callable[..., bytes]) -> None:
    file = mux("webm", "libopus", np.tile(chirp, 6))
    assert 3 <= len(decode(file[: len(file) * 2 // 3], Container.WEBM)) / 16_000 < 5


def test_the_limit_counts_what_is_decoded_and_not_what_the_header_says(chirp: Samples) -> None:
    file = bytearray(encode_all(np.tile(chirp, 5), AudioFormat.FLAC, 16_000))
    file[21] &= 0xF0  # The 36-bit number of samples in STREAMINFO: unknown.
    file[22:26] = bytes(4)
    with pytest.raises(SpeechError) as caught:
        decode(bytes(file), Container.FLAC, max_duration_s=4)
    assert caught.value.code is ErrorCode.AUDIO_TOO_LONG
    assert len(decode(bytes(file), Container.FLAC, max_duration_s=5)) == 80_000
