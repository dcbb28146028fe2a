"""Files of weights: fetched in pieces, written while they are hashed, and checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Final

from msgspec import Struct

from engines.models.catalog import ModelFile

_CHUNK_BYTES: Final = 1 << 20


class Progress(Struct, frozen=True):
    """How far a fetch from one origin has come."""

    origin: str
    """Where from, in words."""
    done_bytes: int
    total_bytes: int


OnProgress = Callable[[Progress], None]


class OriginError(Exception):
    """An origin did not give a file. The text says why, in plain words, without paths or secrets."""


def chunks_of(stream: IO[bytes]) -> Iterator[bytes]:
    """What is left in a stream, in pieces that fit in memory."""
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


def write_checked(file: ModelFile, chunks: Iterable[bytes], folder: Path) -> None:
    """Write a file of a model into a folder, if it is the file the catalog names.

    Nothing more than the stated size is ever written, and nothing stays behind if the file is another.

    Raises:
        OriginError: it is longer or shorter than the catalog says, or its hash differs.
    """
    target = folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write(file, chunks, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _write(file: ModelFile, chunks: Iterable[bytes], target: Path) -> None:
    digest = hashlib.sha256()
    size_bytes = 0
    with target.open("wb") as out:
        for chunk in chunks:
            size_bytes += len(chunk)
            if size_bytes > file.size_bytes:
                raise OriginError(f"{file.path} is larger than the {file.size_bytes:,} bytes it must have")
            digest.update(chunk)
            out.write(chunk)
        out.flush()
        # The stamp of a verified model must not outlive its bytes in a power cut.
        os.fsync(out.fileno())
    if size_bytes < file.size_bytes:
        raise OriginError(f"{file.path} has {size_bytes:,} bytes instead of {file.size_bytes:,}")
    if digest.hexdigest() != file.sha256:
        raise OriginError(f"{file.path} has another SHA-256 than the catalog says, so it was refused")


def is_intact(file: ModelFile, folder: Path) -> bool:
    """Whether the file of that folder has the size and the SHA-256 of the catalog. Reads all of it."""
    path = folder / file.path
    if not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
