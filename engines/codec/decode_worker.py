"""The process that decodes uploads: ``python -m engines.codec.decode_worker``.

FFmpeg parses hostile bytes here, so that what goes wrong with them goes wrong here alone. Before the first file the
worker seals itself: it can open no file or socket, start no process, write no file, and its memory is bounded. The
server (:mod:`engines.codec.decoder`) ends it at the deadline; the kernel does, should the server be gone by then.
"""

from __future__ import annotations

import os
import resource
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from engines.codec.audio_file import decode_file
from engines.codec.container import Container
from engines.codec.decode_protocol import (
    LENGTH_BYTES,
    PCM16_BYTES,
    Decoded,
    DecodeRequest,
    Failed,
    Ready,
    encode_message,
    request_decoder,
)
from engines.codec.encoder import encode_all
from schemas.audio import AudioFormat
from schemas.errors import ErrorCode, SpeechError

MAX_DATA_BYTES: Final = 448 * 1024 * 1024
"""Private memory of the worker; with the libraries' own pages it stays below 512 MB resident."""


class _PeakMemory:
    """The most memory this process ever had resident."""

    def __init__(self) -> None:
        # Opened before the seal. getrusage is no use where this exists: Linux counts the parent's peak in, from
        # between fork and exec.
        status = Path("/proc/self/status")
        self._status = status.open("rb", buffering=0) if status.exists() else None

    def read_bytes(self) -> int:
        if self._status is None:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._status.seek(0)
        line = next(line for line in self._status.read().splitlines() if line.startswith(b"VmHWM:"))
        return int(line.split()[1]) * 1024


def _seal() -> None:
    """Give up what decoding does not need. Nothing can be imported after this."""
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_DATA, MAX_DATA_BYTES),
    ):
        _, hard = resource.getrlimit(limit)
        value_or_less = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value_or_less, value_or_less))


def _limit_cpu(cpu_s: int) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + cpu_s + 1, hard))


def _warm_up() -> None:
    """Use everything once: what Python imports on first use cannot be imported behind the seal."""
    wav = encode_all(np.zeros(8_000, dtype=np.float32), AudioFormat.WAV, 8_000)
    decode_file(wav, Container.WAV, sample_rate_hz=16_000, max_duration_s=2)


def _read_request(stream: BinaryIO) -> tuple[DecodeRequest, bytes] | None:
    length = stream.read(LENGTH_BYTES)
    if len(length) < LENGTH_BYTES:
        return None
    request = request_decoder.decode(stream.read(int.from_bytes(length, "big")))
    file = stream.read(request.input_bytes)
    return (request, file) if len(file) == request.input_bytes else None


def _answer(request: DecodeRequest, file: bytes, peak: _PeakMemory) -> Iterator[bytes]:
    try:
        pieces = decode_file(
            file,
            request.container,
            sample_rate_hz=request.sample_rate_hz,
            max_duration_s=request.max_duration_s,
        )
    except SpeechError as error:
        yield encode_message(Failed(code=error.code, message=error.message, peak_rss_bytes=peak.read_bytes()))
    except Exception:  # noqa: BLE001 - the boundary of the process: any other failure is the file's doing as well
        traceback.print_exc()
        message = "The audio cannot be decoded. Record or export it again."
        yield encode_message(Failed(code=ErrorCode.INVALID_AUDIO, message=message, peak_rss_bytes=peak.read_bytes()))
    else:
        samples = sum(map(len, pieces)) // PCM16_BYTES
        yield encode_message(Decoded(samples=samples, peak_rss_bytes=peak.read_bytes()))
        yield from pieces


def main() -> None:
    """Serve until the server closes stdin."""
    # Only answers may reach the server: whatever a library prints goes where errors go.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    peak = _PeakMemory()
    _warm_up()
    _seal()
    try:
        answers.write(encode_message(Ready()))
        answers.flush()
        while (received := _read_request(sys.stdin.buffer)) is not None:
            request, file = received
            _limit_cpu(request.cpu_s)
            for piece in _answer(request, file, peak):
                answers.write(piece)
            answers.flush()
            del received, file
    except BrokenPipeError:
        os._exit(0)  # The server is gone, and so is whoever would read what is still buffered.


if __name__ == "__main__":
    main()
