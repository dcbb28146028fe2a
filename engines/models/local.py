"""Models that were made or brought here: each has its catalog entry beside its files.

The shipped catalog says what must be in a model's folder. For a voice that was converted on this machine, or weights
whose owner gives them out himself, that is known only once they are here; then it is written down, hashes included,
and holds from there on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from engines.models.catalog import Catalog, ModelEntry, ModelFile

log = structlog.get_logger("antiphon.models")

ENTRY_NAME: Final = "model.json"


class LocalModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``model.json`` holds."""

    entry: ModelEntry
    licence_accepted_at: str = ""
    """When the licence was accepted on this machine, ISO 8601; empty where none had to be."""


def with_local(catalog: Catalog, root: Path) -> Catalog:
    """The catalog with the models of this folder; one that ships keeps its name unless its files were to be brought."""
    entries = {entry.name: entry for entry in catalog}
    for local in _local_models(root):
        shipped = entries.get(local.entry.name)
        if shipped is None or not shipped.files:
            entries[local.entry.name] = replace(local.entry, default=False, tests=False)
    return Catalog(tuple(entries.values()))


def read_local(folder: Path) -> LocalModel | None:
    """What a model's folder says of it; ``None`` if it says nothing that can be read."""
    try:
        local = msgspec.json.decode((folder / ENTRY_NAME).read_bytes(), type=LocalModel)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        log.warning("local_model_unreadable", folder=folder.name, reason=type(error).__name__)
        return None
    return local if local.entry.name == folder.name else None


def write_local(entry: ModelEntry, folder: Path, *, licence_accepted: bool) -> ModelEntry:
    """Describe the files of a folder in it; the entry with them."""
    files = tuple(_described(path, folder) for path in sorted(folder.rglob("*")) if path.is_file())
    entry = replace(entry, files=files, origins=())
    accepted_at = datetime.now(UTC).isoformat(timespec="seconds") if licence_accepted else ""
    local = LocalModel(entry=entry, licence_accepted_at=accepted_at)
    (folder / ENTRY_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(local)))
    return entry


def _local_models(root: Path) -> Iterator[LocalModel]:
    folders: Iterable[Path] = sorted(root.iterdir()) if root.is_dir() else ()
    for folder in folders:
        if not folder.name.startswith(".") and (local := read_local(folder)) is not None:
            yield local


def _described(path: Path, folder: Path) -> ModelFile:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return ModelFile(path.relative_to(folder).as_posix(), digest, path.stat().st_size)
