"""Our own form of a corpus: a folder with ``manifest.jsonl``, a row a recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from evals.corpora.utterance import UNDETERMINED, Utterance
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import language_code

MANIFEST: Final = "manifest.jsonl"


class _Turn(Struct, frozen=True):
    text: str
    channel: int | None = None


class Row(Struct, frozen=True, kw_only=True):
    """A line of the manifest. Fields that are not named here are left alone."""

    file: str
    """Relative to the folder."""
    text: str | None = None
    """Empty: nothing is said. Null: nobody wrote down what."""
    language: str = UNDETERMINED
    kind: str = "utterance"
    duration_s: float = 0.0
    channels: int = 1
    speaker: str = ""
    snr_db: float | None = None
    entities: tuple[str, ...] = ()
    turns: tuple[_Turn, ...] = ()
    """Of a file in which each speaker has a channel, or of a dialogue."""


def is_manifest(folder: Path) -> bool:
    """Whether the folder is of this form."""
    return (folder / MANIFEST).is_file()


def read_manifest(folder: Path) -> Iterator[Utterance]:
    """The recordings; one with a speaker a channel comes as several.

    Raises:
        SpeechError: As :func:`rows` has it.
    """
    for row in rows(folder):
        yield from _utterances(folder, row)


def rows(folder: Path) -> Iterator[Row]:
    """The lines.

    Raises:
        SpeechError: ``invalid_request`` for a line that is not as it must be.
    """
    for number, line in enumerate((folder / MANIFEST).read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield msgspec.json.decode(line, type=Row)
        except msgspec.DecodeError as error:
            raise SpeechError(ErrorCode.INVALID_REQUEST, f"Line {number} of {MANIFEST} is wrong: {error}.") from error


def _utterances(folder: Path, row: Row) -> Iterator[Utterance]:
    whole = Utterance(
        id=str(Path(row.file).with_suffix("")),
        audio=folder / row.file,
        text=row.text,
        language=language_code(row.language),
        kind=row.kind,
        speaker=row.speaker,
        duration_s=row.duration_s,
        snr_db=row.snr_db,
        entities=row.entities,
    )
    channels = [turn.channel for turn in row.turns]
    if channels and None not in channels:
        for channel in sorted({channel for channel in channels if channel is not None}):
            text = " ".join(turn.text for turn in row.turns if turn.channel == channel)
            yield msgspec.structs.replace(whole, id=f"{whole.id}.{channel}", channel=channel, text=text)
    else:
        yield whole
