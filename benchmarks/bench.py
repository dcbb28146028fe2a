"""What every section is given: where to write, on which device, how thoroughly."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

from benchmarks.machine import Cores
from engines.models.store import default_root

PAIRS: Final = 20
"""Measurements of each side, taken in turns: fewer say little about a median."""


class Bench(Struct, frozen=True, kw_only=True):
    """One run."""

    out: Path
    """Folder of the report and the logs."""
    device: str
    compute_type: str
    quick: bool
    cores: Cores
    say: Callable[[str], None]
    """Tells whoever waits what is being done."""

    @property
    def logs(self) -> Path:
        """Folder of what the programs printed."""
        return self.out / "logs"

    @property
    def pairs(self) -> int:
        """Measurements of each side."""
        return 3 if self.quick else PAIRS

    @property
    def threads(self) -> int:
        """Threads each side may compute with, however it divides them."""
        return len(self.cores.engines)

    def scaled(self, thorough: float, quick: float) -> float:
        """A number that depends on how thorough the run is."""
        return quick if self.quick else thorough


def models_dir() -> Path:
    """Where the weights are: both sides of every comparison read the same files."""
    folder = os.environ.get("ANTIPHON_MODELS_DIR")
    return Path(folder) if folder else default_root()


def cache_dir() -> Path:
    """Where the environments of peers are kept between runs, outside the clone."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "antiphon" / "bench"
