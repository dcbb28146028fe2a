from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.codec.decoder import Decoder, RawPcm
from engines.codec.encoder import Encoder, content_type, encode_all
from schemas.audio import AudioFormat, Samples, pcm16_from_float

FORMATS = list(AudioFormat)
RATES_HZ = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)

# AAC as ADTS and MP3 as a stream cannot say how much of the first and last frames is padding.
PADDING_S = 0.2


def chirp_at(rate_hz: int) -> Samples:
    seconds = np.arange(rate_hz) / rate_hz
    return (0.5 * np.sin(2 * np.pi * (200 + 900 * seconds) * seconds)).astype(np.float32)


def stream(samples: Samples, fmt: AudioFormat, rate_hz: int, piece_samples: int) -> list[bytes]:
    encoder = Encoder(fmt, rate_hz)
    pieces = [encoder.encode(samples[start : start + piece_samples]) for start in range(0, len(samples), piece_samples)]
    return [*pieces, encoder.finish()]


def best_correlation(heard: Samples, said: Samples) -> float:
    """The correlation at the best shift: codecs add up to some tens of milliseconds in front."""
    size = len(heard) + len(said)
    products = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size)), size)
    return float(products.max() / (np.linalg.norm(heard) * np.linalg.norm(said)))


@pytest.mark.anyio
@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("streamed", [True, False])
async def test_every_format_decodes_to_what_was_encoded(
    decoder: Decoder, fmt: AudioFormat, rate_hz: int, *, streamed: bool
) -> None:
    said = chirp_at(rate_hz)
    file = b"".join(stream(said, fmt, rate_hz, 777)) if streamed else encode_all(said, fmt, rate_hz)
    raw = RawPcm(rate_hz) if fmt is AudioFormat.PCM else None
    heard = await decoder.decode(file, sample_rate_hz=rate_hz, raw=raw)
    padding_s = PADDING_S if fmt is AudioFormat.AAC or (fmt is AudioFormat.MP3 and streamed) else 0.001
    assert -0.001 <= heard.duration_s - 1 <= padding_s
    assert best_correlation(heard.samples, said) > 0.98


@pytest.mark.parametrize("fmt", FORMATS)
def test_bytes_come_out_while_samples_go_in(fmt: AudioFormat) -> None:
    pieces = stream(chirp_at(24_000), fmt, 24_000, 2_400)
    first_half, whole = sum(map(len, pieces[:5])), sum(map(len, pieces))
    assert first_half > 0.3 * whole
    assert max(map(len, pieces[1:])) < 0.4 * whole


@given(cuts=st.lists(st.integers(0, 16_000), max_size=6))
def test_how_samples_are_cut_does_not_change_the_file(cuts: list[int]) -> None:
    samples = chirp_at(16_000)
    encoder = Encoder(AudioFormat.FLAC, 16_000)
    pieces = [encoder.encode(piece) for piece in np.split(samples, sorted(cuts))]
    assert b"".join((*pieces, encoder.finish())) == b"".join(stream(samples, AudioFormat.FLAC, 16_000, 16_000))


def test_a_streamed_wav_says_that_its_length_is_unknown() -> None:
    header = stream(chirp_at(24_000), AudioFormat.WAV, 24_000, 2_400)[0][:44]
    unknown = 0xFFFFFFFF
    assert header == struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", unknown, b"WAVE", b"fmt ", 16, 1, 1, 24_000, 48_000, 2, 16, b"data", unknown
    )


def test_a_whole_wav_says_its_true_length() -> None:
    samples = chirp_at(16_000)
    file = encode_all(samples, AudioFormat.WAV, 16_000)
    assert struct.unpack_from("<I", file, 4) == (len(file) - 8,)
    assert struct.unpack_from("<I", file, 40) == (2 * len(samples),)
    assert file[44:] == pcm16_from_float(samples)


def test_lossless_formats_keep_every_sample() -> None:
    samples = chirp_at(16_000)
    assert b"".join(stream(samples, AudioFormat.PCM, 16_000, 999)) == pcm16_from_float(samples)
    assert b"".join(stream(samples, AudioFormat.WAV, 16_000, 999))[44:] == pcm16_from_float(samples)


@pytest.mark.parametrize("fmt", FORMATS)
def test_silence_of_no_length_is_encoded_without_failing(fmt: AudioFormat) -> None:
    encoder = Encoder(fmt, 24_000)
    assert encoder.encode(np.zeros(0, dtype=np.float32)) + encoder.finish() is not None


@pytest.mark.parametrize(
    ("fmt", "expected"),
    [
        ("mp3", "audio/mpeg"),
        ("opus", "audio/opus"),
        ("aac", "audio/aac"),
        ("flac", "audio/flac"),
        ("wav", "audio/wav"),
        ("pcm", "audio/pcm"),
    ],
)
def test_content_types_are_those_that_clients_choose_their_decoder_by(fmt: str, expected: str) -> None:
    assert content_type(AudioFormat(fmt)) == expected
