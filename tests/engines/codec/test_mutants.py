# pyright: reportPrivateUsage=false
# A test may look inside: which worker is busy, what it has used.

"""Small files broken at random, by a fixed seed: each is decoded or refused, and nothing dies but workers."""

from __future__ import annotations

import random
from collections.abc import Callable

import anyio
import pytest

from engines.codec.decoder import Decoder
from schemas.errors import ErrorCode, SpeechError

MUTANTS_PER_FILE = 286
"""Two thousand in all."""

REFUSALS = {
    ErrorCode.NO_AUDIO,
    ErrorCode.INVALID_AUDIO,
    ErrorCode.UNSUPPORTED_FORMAT,
    ErrorCode.AUDIO_TOO_LONG,
    ErrorCode.EMPTY_AUDIO,
}


def truncate(rng: random.Random, file: bytes, _: bytes) -> bytes:
    return file[: rng.randrange(len(file))]


def flip(rng: random.Random, file: bytes, _: bytes) -> bytes:
    mutant = bytearray(file)
    for _flip in range(rng.randint(1, 64)):
        mutant[rng.randrange(len(mutant))] ^= 1 << rng.randrange(8)
    return bytes(mutant)


def flip_header(rng: random.Random, file: bytes, _: bytes) -> bytes:
    mutant = bytearray(file)
    for _flip in range(rng.randint(1, 8)):
        mutant[rng.randrange(4, min(len(mutant), 128))] = rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(mutant)


def splice(rng: random.Random, file: bytes, other: bytes) -> bytes:
    return file[: rng.randrange(8, 512)] + other[rng.randrange(len(other)) :]


def cut_out(rng: random.Random, file: bytes, _: bytes) -> bytes:
    start = rng.randrange(len(file))
    return file[:start] + file[start + rng.randrange(1, 4_096) :]


MUTATIONS: list[Callable[[random.Random, bytes, bytes], bytes]] = [truncate, flip, flip_header, splice, cut_out]


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "opus", "aac", "m4a", "webm"])
async def test_every_mutant_is_decoded_or_refused(decoder: Decoder, name: str, small_files: dict[str, bytes]) -> None:
    rng = random.Random(name)
    others = [file for other, file in small_files.items() if other != name]
    for number in range(MUTANTS_PER_FILE):
        mutant = rng.choice(MUTATIONS)(rng, small_files[name], rng.choice(others))
        with anyio.fail_after(10):
            try:
                audio = await decoder.decode(mutant)
            except SpeechError as error:
                assert error.code in REFUSALS, (number, error.message)  # noqa: PT017 - either outcome is right
            else:
                assert 0 < audio.duration_s < 600
        assert all(worker._peak_rss_bytes < 256 * 1024 * 1024 for worker in decoder._alive)
    assert (await decoder.decode(small_files[name])).duration_s > 0.9
