"""Where models lie on this machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
import platformdirs
from filelock import FileLock, Timeout
from msgspec import Struct
from msgspec.structs import replace

from engines.models.catalog import Catalog, ModelEntry
from engines.models.huggingface import HuggingFaceAccess
from engines.models.local import read_local, with_local, write_local
from engines.models.origins import copy_from_folder, fetch
from engines.models.weights import OnProgress, OriginError, Progress, is_intact
from schemas.errors import ErrorCode, SpeechError

_STAMP_NAME: Final = ".verified.json"
_LOCK_WAIT_S: Final = 1_800.0
"""As long as another process may take to pull the same model."""


class Fault(StrEnum):
    """What can be wrong with a file of an installed model."""

    MISSING = "missing"
    CORRUPT = "corrupt"


class FileFault(Struct, frozen=True):
    """A file of an installed model that is not as it must be."""

    path: str
    """Relative to the model's folder."""
    fault: Fault


class _Stamp(Struct, frozen=True):
    """What was seen of a file when its hash was last found right."""

    sha256: str
    size_bytes: int
    mtime_ns: int


_Stamps = dict[str, _Stamp]


def default_root() -> Path:
    """The folder of models, unless the settings name another."""
    return platformdirs.user_cache_path("antiphon") / "models"


def _ignore(_: Progress) -> None:
    """For callers that show no progress."""


class ModelStore:
    """The models of one folder; any number of processes may share it.

    A model is a folder named like it. It appears whole or not at all: files are fetched and hash-checked in a
    temporary folder beside it, which is then renamed. A stamp in the model's folder remembers size and modification
    time of each file whose hash was right, so that a start need not read hundreds of megabytes again. Methods block.

    Args:
        root: The folder; made on the first pull.
        catalog: The models there are.
        hugging_face: Endpoint and token for the origins that need them.
    """

    def __init__(self, root: Path, catalog: Catalog, hugging_face: HuggingFaceAccess | None = None) -> None:
        self._root = root
        self._catalog = with_local(catalog, root)
        self._hugging_face = hugging_face or HuggingFaceAccess()

    @property
    def catalog(self) -> Catalog:
        """The models there are."""
        return self._catalog

    def installed(self, name: str) -> bool:
        """Whether every file of the model is there with the right size. Reads no file, so it is quick."""
        folder = self._root / name
        files = self._catalog[name].files
        return bool(files) and all(
            (path := folder / file.path).is_file() and path.stat().st_size == file.size_bytes for file in files
        )

    def path(self, name: str) -> Path:
        """The folder of a model, every file of which is there and was verified.

        Raises:
            SpeechError: ``unknown_model``, ``model_not_installed``, ``licence_not_accepted`` or ``model_corrupt``.
        """
        entry = self._catalog[name]
        folder = self._root / name
        if not folder.is_dir():
            raise SpeechError(
                ErrorCode.MODEL_NOT_INSTALLED,
                f"The model {name} is not installed. Run: antiphon models pull {name}{_how(entry)}",
                param="model",
            )
        if entry.accept_licence and not ((local := read_local(folder)) and local.licence_accepted_at):
            raise _licence_not_accepted(entry)
        if not self._is_verified(entry) and self.verify(name):
            raise SpeechError(
                ErrorCode.MODEL_CORRUPT,
                f"Files of the model {name} are missing or damaged. Run: antiphon models pull {name} --force",
                param="model",
            )
        return folder

    def verify(self, name: str) -> tuple[FileFault, ...]:
        """Read and hash every file of a model; what is wrong with it, empty if nothing is.

        Raises:
            SpeechError: ``unknown_model``.
        """
        entry = self._catalog[name]
        folder = self._root / name
        faults = tuple(
            FileFault(file.path, Fault.CORRUPT if (folder / file.path).exists() else Fault.MISSING)
            for file in entry.files
            if not is_intact(file, folder)
        )
        if not faults:
            _write_stamps(entry, folder)
        return faults

    def size_bytes(self, name: str) -> int:
        """Bytes that the model's files take on this disk; 0 if none is there."""
        folder = self._root / self._catalog[name].name
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def pull(
        self,
        name: str,
        on_progress: OnProgress = _ignore,
        *,
        source: Path | None = None,
        force: bool = False,
        licence_accepted: bool = False,
    ) -> bool:
        """Fetch a model, unless it is there already; whether anything was fetched.

        Args:
            name: A model of the catalog.
            on_progress: Called as bytes arrive.
            source: A folder that holds the files, or folders of models: the only origin then.
            force: Fetch it even if it is there.
            licence_accepted: Whether somebody has accepted the licence of a model that asks for it.

        Raises:
            SpeechError: ``unknown_model``, ``licence_not_accepted``, or ``model_download_failed`` with the reason of
                each origin.
        """
        entry = self._catalog[name]
        if entry.accept_licence and not licence_accepted:
            raise _licence_not_accepted(entry)
        if entry.brought:
            if not force and self.installed(name):
                return False
            self._bring(entry, source)
            return True
        with self._locked(entry):
            if not force and (self._is_verified(entry) or not self.verify(name)):
                return False
            self._install(entry, on_progress, source)
        return True

    def adopt(self, entry: ModelEntry, make: Callable[[Path], None], *, licence_accepted: bool = False) -> ModelEntry:
        """Install a model that is made here; its entry with the files it has.

        Args:
            entry: What to say of it.
            make: Puts its files into an empty folder.
            licence_accepted: Whether somebody has accepted its licence.

        Raises:
            SpeechError: ``invalid_request`` if the shipped catalog has that name for something else, and what ``make``
                raises.
        """
        shipped = next((each for each in self._catalog if each.name == entry.name), None)
        if shipped is not None and shipped.files and shipped.origins:
            raise SpeechError(ErrorCode.INVALID_REQUEST, f"The name {entry.name} is taken. Choose another.")
        with self._locked(entry), self._scratch(entry) as scratch:
            files = scratch / "files"
            files.mkdir()
            make(files)
            entry = write_local(entry, files, licence_accepted=licence_accepted)
            _write_stamps(entry, files)
            self._put(entry, files, scratch)
        self._catalog = with_local(self._catalog, self._root)
        return entry

    def _bring(self, entry: ModelEntry, source: Path | None) -> None:
        """Copy files that their owner gives out, by name."""
        folder = source and (source / entry.name if (source / entry.name).is_dir() else source)
        missing = [name for name in entry.brought if folder is None or not (folder / name).is_file()]
        if folder is None or missing:
            raise SpeechError(
                ErrorCode.MODEL_DOWNLOAD_FAILED,
                f"The files of {entry.name} cannot be fetched from here. Get {', '.join(missing)} from "
                f"{entry.licence_url}, then run: antiphon models pull {entry.name}{_how(entry)}",
            )

        def copy(into: Path) -> None:
            for name in entry.brought:
                shutil.copyfile(folder / name, into / name)

        self.adopt(replace(entry, files=()), copy, licence_accepted=True)

    def remove(self, name: str) -> bool:
        """Delete a model; whether there was one.

        Raises:
            SpeechError: ``unknown_model``.
        """
        entry = self._catalog[name]
        folder = self._root / name
        if not folder.is_dir():
            return False
        with self._locked(entry), self._scratch(entry) as scratch:
            folder.rename(scratch / "removed")
        return True

    @contextmanager
    def _locked(self, entry: ModelEntry) -> Generator[None]:
        """One process at a time changes a model."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with FileLock(self._root / f".{entry.name}.lock", timeout=_LOCK_WAIT_S):
                yield
        except Timeout:
            raise SpeechError(
                ErrorCode.MODEL_DOWNLOAD_FAILED,
                f"Another process has been fetching {entry.name} for too long; stop it.",
            ) from None
        except OSError as error:
            raise SpeechError(
                ErrorCode.MODEL_DOWNLOAD_FAILED,
                f"The models folder cannot be changed for {entry.name} ({entry.size_bytes / 1e6:.0f} MB): "
                f"{error.strerror or type(error).__name__}.",
            ) from None

    @contextmanager
    def _scratch(self, entry: ModelEntry) -> Generator[Path]:
        """A temporary folder beside the model; what a killed process left of one is deleted first."""
        prefix = f".pull-{entry.name}-"
        for left_behind in self._root.glob(f"{prefix}*"):
            shutil.rmtree(left_behind, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=self._root, ignore_cleanup_errors=True) as scratch:
            yield Path(scratch)

    def _install(self, entry: ModelEntry, on_progress: OnProgress, source: Path | None) -> None:
        """Fetch a model into a temporary folder, then put that in the place of what was there."""
        with self._scratch(entry) as scratch:
            files = scratch / "files"
            files.mkdir()
            reasons = _copy(entry, source, files) if source else self._fetch(entry, files, scratch, on_progress)
            if any(not (files / file.path).exists() for file in entry.files):
                raise SpeechError(
                    ErrorCode.MODEL_DOWNLOAD_FAILED,
                    f"The model {entry.name} could not be fetched. {'. '.join(reasons)}. "
                    f"From a folder that has its files: antiphon models pull {entry.name} --from FOLDER",
                )
            _write_stamps(entry, files)
            self._put(entry, files, scratch)

    def _put(self, entry: ModelEntry, files: Path, scratch: Path) -> None:
        """A folder of files in the place of what was there."""
        folder = self._root / entry.name
        if folder.exists():
            folder.rename(scratch / "replaced")
        files.rename(folder)

    def _fetch(self, entry: ModelEntry, into: Path, scratch: Path, on_progress: OnProgress) -> list[str]:
        """Ask the origins in order for what is still missing; why those that failed did."""
        reasons: list[str] = []
        for origin in entry.origins:
            wanted = [file for file in entry.files if origin.covers(file.path) and not (into / file.path).exists()]
            if not wanted:
                continue
            try:
                fetch(origin, wanted, into, scratch, self._hugging_face, on_progress)
            except OriginError as error:
                reasons.append(f"{origin}: {error}")
        return reasons

    def _is_verified(self, entry: ModelEntry) -> bool:
        """Whether nothing has changed since the hash of each file was last found right."""
        folder = self._root / entry.name
        return self.installed(entry.name) and _read_stamps(folder) == _stamps_of(entry, folder)


def _how(entry: ModelEntry) -> str:
    """What ``antiphon models pull`` must be told besides the name."""
    return f"{' --from FOLDER' if entry.brought else ''}{' --accept-licence' if entry.accept_licence else ''}"


def _licence_not_accepted(entry: ModelEntry) -> SpeechError:
    return SpeechError(
        ErrorCode.LICENCE_NOT_ACCEPTED,
        f"The licence of the model {entry.name} ({entry.licence}) has not been accepted here. {entry.licence_notes} "
        f"Read {entry.licence_url}; if you accept it, run: antiphon models pull {entry.name}{_how(entry)}",
        param="model",
    )


def _copy(entry: ModelEntry, source: Path, into: Path) -> list[str]:
    try:
        copy_from_folder(entry.name, entry.files, source, into)
    except OriginError as error:
        return [f"The given folder: {error}"]
    return []


def _stamps_of(entry: ModelEntry, folder: Path) -> _Stamps:
    stats = {file: (folder / file.path).stat() for file in entry.files}
    return {file.path: _Stamp(file.sha256, stat.st_size, stat.st_mtime_ns) for file, stat in stats.items()}


def _read_stamps(folder: Path) -> _Stamps:
    try:
        return msgspec.json.decode((folder / _STAMP_NAME).read_bytes(), type=_Stamps)
    except (OSError, msgspec.DecodeError):
        return {}


def _write_stamps(entry: ModelEntry, folder: Path) -> None:
    # A folder that cannot be written, such as a read-only volume, costs a hash at each start and nothing more.
    with suppress(OSError):
        (folder / _STAMP_NAME).write_bytes(msgspec.json.encode(_stamps_of(entry, folder)))
