"""Results kept between runs, by the content of what they were made from."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Final

import msgspec
import platformdirs

_FORMAT: Final = "1"
"""Raised when what is kept is made or written otherwise."""


def cache_dir() -> Path:
    """Where results are kept: the user's cache folder."""
    return Path(platformdirs.user_cache_dir("antiphon")) / "evals"


class Cache:
    """Bytes by key, one file each. Several processes may share a folder.

    Args:
        folder: Made when the first result is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def key(self, kind: str, *parts: object) -> str:
        """The name of a result: what it is, and all that it depends on. Parts are anything msgspec can encode."""
        digest = hashlib.sha256(msgspec.json.encode((_FORMAT, kind, parts))).hexdigest()
        return f"{kind}/{digest[:2]}/{digest}"

    def get(self, key: str) -> bytes | None:
        """What was kept, if anything."""
        try:
            return (self._folder / key).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, key: str, content: bytes) -> None:
        """Keep it: whole or not at all, whatever happens meanwhile."""
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        Path(file.name).replace(path)


def digest(content: bytes) -> str:
    """Names audio, or anything else, by its content."""
    return hashlib.sha256(content).hexdigest()
