"""LibriSpeech's folders: ``SPEAKER/CHAPTER/``, with FLAC files and their texts in one ``*.trans.txt``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import av

from evals.corpora.utterance import Utterance

_TEXTS: Final = "*/*/*.trans.txt"


def texts_of(folder: Path) -> list[Path]:
    """The files with texts, in the folder or in the subsets (``dev-clean`` …) within; none if it is of another form."""
    return sorted(folder.glob(_TEXTS)) or sorted(folder.glob(f"*/{_TEXTS}"))


def read_librispeech(folder: Path, language: str = "en") -> Iterator[Utterance]:
    """The recordings. Multilingual LibriSpeech has the same files in other languages, unpacked so."""
    for texts in texts_of(folder):
        speaker = texts.parent.parent.name
        for line in texts.read_text("utf-8").splitlines():
            name, _, text = line.strip().partition(" ")
            file = texts.parent / f"{name}.flac"
            if name and file.is_file():
                yield Utterance(
                    id=name,
                    audio=file,
                    # Capital letters throughout: they tell nothing of names.
                    text=text.lower(),
                    language=language,
                    speaker=speaker,
                    duration_s=duration_s(file),
                )


def duration_s(file: Path) -> float:
    """As the file's header has it; 0 if it has none."""
    with cast("Any", av).open(str(file)) as container:
        return float(container.duration or 0) / cast("Any", av).time_base
