"""Recordings of people and of noise, from a folder with ``manifest.jsonl``: ``ANTIPHON_SPEECH_DIR``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from evals.corpora.manifest import Row, is_manifest, rows
from evals.decoding import decode
from evals.turns.dialogue import Split
from schemas.audio import Samples

_CALIBRATION_NOISES: Final = 2
"""The first of the noises; the others are of the test split."""


class Recordings:
    """What is in a folder; nothing, where there is none.

    Args:
        folder: With the manifest; ``None`` looks at ``ANTIPHON_SPEECH_DIR``.
    """

    def __init__(self, folder: Path | None = None) -> None:
        named = os.environ.get("ANTIPHON_SPEECH_DIR")
        self._folder = folder or (Path(named) if named else None)
        self.rows: tuple[Row, ...] = ()
        if self._folder is not None and is_manifest(self._folder):
            self.rows = tuple(rows(self._folder))

    def samples(self, row: Row, channel: int = 0) -> Samples:
        """``float32, (n,)``, 16 kHz: one channel of a recording."""
        if self._folder is None:
            raise ValueError("no folder of recordings")
        return decode(self._folder / row.file, channel)

    def noises(self, split: Split) -> tuple[Samples, ...]:
        """Noise of places; other places in each split."""
        return tuple(self.samples(row) for row in _of_split(self._of_kind("noise"), split))

    def rooms(self, split: Split) -> tuple[Samples, ...]:
        """Impulse responses of rooms."""
        return tuple(self.samples(row) for row in _of_split(self._of_kind("rir"), split))

    def _of_kind(self, kind: str) -> list[Row]:
        return [row for row in self.rows if row.kind == kind]


def _of_split(rows: list[Row], split: Split) -> list[Row]:
    return rows[:_CALIBRATION_NOISES] if split is Split.CALIBRATION else rows[_CALIBRATION_NOISES:]
