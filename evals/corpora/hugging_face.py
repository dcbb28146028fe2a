"""Corpora by the library ``datasets`` of Hugging Face, where it is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from evals.corpora.utterance import UNDETERMINED, Utterance
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import language_code

PREFIX: Final = "hf:"
_TEXTS: Final = ("text", "sentence", "transcription", "raw_transcription", "normalized_text", "transcript")
_LANGUAGES: Final = ("language", "locale", "lang")
_SPEAKERS: Final = ("speaker_id", "client_id", "speaker")
_IDS: Final = ("id", "segment_id", "path", "file")


def read_dataset(name: str) -> Iterator[Utterance]:
    """The recordings of a data set.

    Args:
        name: ``REPO[/CONFIG]:SPLIT`` with REPO as ``owner/name``; the split is ``test`` if left out.

    Raises:
        SpeechError: ``missing_extra`` without the library; ``not_found`` if it does not find the data set;
            ``invalid_request`` if there is no audio in it.
    """
    try:
        datasets: Any = import_module("datasets")
    except ImportError as error:
        raise SpeechError(
            ErrorCode.MISSING_EXTRA, "Corpora of Hugging Face need a library. Run: pip install datasets"
        ) from error
    path, _, split = name.partition(":")
    owner, _, rest = path.partition("/")
    repo, _, config = rest.partition("/")
    try:
        rows = datasets.load_dataset(f"{owner}/{repo}" if repo else owner, config or None, split=split or "test")
        rows = rows.cast_column("audio", datasets.Audio(decode=False))
    except KeyError as error:
        raise SpeechError(ErrorCode.INVALID_REQUEST, f"The data set {path} has no column audio.") from error
    except Exception as error:
        cause = error.__cause__ or error  # such as a library that ``datasets`` lacks
        raise SpeechError(ErrorCode.NOT_FOUND, f"The data set {name} cannot be had: {cause}") from error
    for number, row in enumerate(rows):
        yield _utterance(number, row, config)


def _utterance(number: int, row: Mapping[str, Any], config: str) -> Utterance:
    audio: Mapping[str, Any] = row["audio"]
    content: bytes | Path | None = audio.get("bytes") or (Path(audio["path"]) if audio.get("path") else None)
    if content is None:
        raise SpeechError(ErrorCode.INVALID_REQUEST, "The data set has recordings that are no files.")
    language = _first(row, _LANGUAGES) or config
    return Utterance(
        id=str(_first(row, _IDS) or number),
        audio=content,
        text=_first(row, _TEXTS),
        language=language_code(language) if language else UNDETERMINED,
        speaker=str(_first(row, _SPEAKERS) or ""),
        duration_s=float(row.get("duration") or 0.0),
    )


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:  # noqa: ANN401  whatever the data set has
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)
