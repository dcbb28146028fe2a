"""Common Voice's folders: a language a folder, with ``clips/`` and a table a split (``test.tsv`` …)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from evals.corpora.librispeech import duration_s
from evals.corpora.utterance import Utterance
from schemas.errors import ErrorCode, SpeechError

_CLIPS: Final = "clips"
_DURATIONS: Final = "clip_durations.tsv"
_TABLES: Final = ("test", "dev", "validated", "train", "other")
"""The first that there is, unless another is asked for."""


def folders_of(folder: Path) -> list[Path]:
    """The folder, or those of languages within; none if it is of another form."""
    return [one for one in (folder, *sorted(folder.glob("*/"))) if (one / _CLIPS).is_dir() and any(one.glob("*.tsv"))]


def read_common_voice(folder: Path, split: str = "") -> Iterator[Utterance]:
    """The recordings of a split.

    Raises:
        SpeechError: ``not_found`` if there is no such split.
    """
    for one in folders_of(folder):
        tables = [one / f"{name}.tsv" for name in ((split,) if split else _TABLES)]
        table = next((path for path in tables if path.is_file()), None)
        if table is None:
            raise SpeechError(ErrorCode.NOT_FOUND, f"There is no table {split or 'test'}.tsv in {one.name}.")
        durations = {row["clip"]: float(row["duration[ms]"]) / 1000 for row in _rows(one / _DURATIONS)}
        for row in _rows(table):
            file = one / _CLIPS / row["path"]
            yield Utterance(
                id=f"{one.name}/{file.stem}" if one != folder else file.stem,
                audio=file,
                text=row["sentence"],
                language=(row.get("locale") or one.name).partition("-")[0],
                speaker=row.get("client_id") or "",
                duration_s=durations.get(row["path"]) or duration_s(file),
            )


def _rows(path: Path) -> Iterator[dict[str, str]]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8", newline="") as file:
        # Sentences hold quotation marks, and they mean nothing.
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
