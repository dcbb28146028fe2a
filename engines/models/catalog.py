"""What models there are: the catalog that ships with Antiphon.

``catalog.toml`` names every model with its terms, its files and where they can be had. The SHA-256 of a file decides
whether it is the model's, never the place it came from.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from importlib import resources
from pathlib import PurePosixPath
from typing import Annotated, Self

import msgspec
from msgspec import Meta, Struct

from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind


class ModelFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a model."""

    path: str
    """Relative to the model's folder, with ``/``; never leads out of it."""
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    """In lower-case hexadecimal."""
    size_bytes: Annotated[int, Meta(ge=1)]

    def __post_init__(self) -> None:
        path = PurePosixPath(self.path)
        if path.is_absolute() or ".." in path.parts or path.name.startswith("."):
            raise ValueError(f"the path {self.path!r} of a model file must lie in the model's folder")


class _Origin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    files: tuple[str, ...] = ("*",)
    """Patterns of the model's files that this origin has."""
    folder: str = ""
    """What stands before a file's path in this origin; ends in ``/`` where it is a folder."""
    parts: dict[str, tuple[str, ...]] = {}
    """For a file that lies here in pieces: the full names of the pieces that, joined, make it."""

    def covers(self, path: str) -> bool:
        """Whether this origin has the model's file of that path."""
        return any(fnmatchcase(path, pattern) for pattern in self.files)

    def members(self, path: str) -> tuple[str, ...]:
        """The names, in this origin, of the pieces of a file: mostly one."""
        return self.parts.get(path, (self.folder + path,))


class PyPiOrigin(_Origin, frozen=True, kw_only=True, tag="pypi"):
    """Wheels of a Python package index, opened as archives of data."""

    packages: tuple[str, ...]
    """Pinned, as in ``silero-vad==6.2.3``."""
    download_bytes: int
    """Size of the wheels together."""

    def __str__(self) -> str:
        return f"PyPI {', '.join(self.packages)}"


class NpmOrigin(_Origin, frozen=True, kw_only=True, tag="npm"):
    """A package of the npm registry, opened as an archive of data."""

    package: str
    """Pinned, as in ``kokoro-js@1.2.1``."""
    download_bytes: int
    """Size of the archive."""

    def __str__(self) -> str:
        return f"npm {self.package}"


class HuggingFaceOrigin(_Origin, frozen=True, kw_only=True, tag="huggingface"):
    """Files of a repository on the Hugging Face hub, or on a mirror of it."""

    repo: str
    revision: str

    def __str__(self) -> str:
        return f"Hugging Face {self.repo}"


Origin = PyPiOrigin | NpmOrigin | HuggingFaceOrigin


class ModelEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    kind: ModelKind
    engine: str
    """The adapter that loads it: ``whisper``, ``piper``, ``silero``, ``smart_turn`` …"""
    title: str
    licence: str
    """SPDX expression of the weights."""
    licence_url: str
    licence_notes: str = ""
    """Terms that the expression does not say, such as those of the training data or of a library it needs."""
    languages: tuple[str, ...] = ()
    """BCP 47. Empty where language does not matter."""
    sample_rate_hz: int
    """Of the audio it takes or makes."""
    default: bool = False
    """Whether it is the model of its kind that is used unless the settings name another."""
    tests: bool = False
    """Whether the test suite needs it."""
    files: tuple[ModelFile, ...] = ()
    """Empty for weights that only their owner gives out: they are hashed when they are brought."""
    origins: tuple[Origin, ...] = ()
    """In the order in which they are tried."""
    brought: tuple[str, ...] = ()
    """Names of the files that must be brought, if they are not known by hash."""
    accept_licence: bool = False
    """Whether the licence must be accepted before the model is installed and loaded."""

    @property
    def size_bytes(self) -> int:
        """Size on disk."""
        return sum(file.size_bytes for file in self.files)

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of its files' paths and hashes; empty if they are not known."""
        listed = "".join(f"{file.sha256}  {file.path}\n" for file in sorted(self.files, key=lambda file: file.path))
        return sha256(listed.encode()).hexdigest() if listed else ""


class _CatalogFile(Struct, frozen=True, forbid_unknown_fields=True):
    model: tuple[ModelEntry, ...]


class Catalog:
    """Models by name, in the order of the file."""

    def __init__(self, entries: Sequence[ModelEntry]) -> None:
        self._entries = {entry.name: entry for entry in entries}

    @classmethod
    def load(cls) -> Self:
        """The catalog that ships with Antiphon."""
        text = resources.files("engines.models").joinpath("catalog.toml").read_text("utf-8")
        return cls(msgspec.convert(tomllib.loads(text), _CatalogFile).model)

    def __getitem__(self, name: str) -> ModelEntry:
        """The model of that name.

        Raises:
            SpeechError: ``unknown_model``, with the nearest names.
        """
        entry = self._entries.get(name)
        if entry is None:
            near = difflib.get_close_matches(name, self._entries, n=3)
            hint = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(self._entries)}."
            raise SpeechError(ErrorCode.UNKNOWN_MODEL, f"There is no model {name!r}. {hint}", param="model")
        return entry

    def __iter__(self) -> Iterator[ModelEntry]:
        return iter(self._entries.values())

    def default(self, kind: ModelKind) -> ModelEntry:
        """The model of a kind that is used unless the settings name another."""
        return next(entry for entry in self if entry.kind is kind and entry.default)
