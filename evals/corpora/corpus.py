"""A corpus by its name: a folder in one of the forms that are known, or a data set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from evals.corpora.common_voice import folders_of, read_common_voice
from evals.corpora.hugging_face import PREFIX, read_dataset
from evals.corpora.librispeech import read_librispeech, texts_of
from evals.corpora.manifest import is_manifest, read_manifest
from evals.corpora.selection import Selection
from evals.corpora.utterance import Utterance
from schemas.errors import ErrorCode, SpeechError


class Corpus(Struct, frozen=True):
    """Recordings."""

    name: str
    utterances: tuple[Utterance, ...]
    """Ordered by id."""

    def of_kind(self, *kinds: str) -> tuple[Utterance, ...]:
        """Those of these kinds."""
        return tuple(one for one in self.utterances if one.kind in kinds)


def open_corpus(name: str, selection: Selection = Selection()) -> Corpus:  # noqa: B008  it is frozen
    """The recordings that are selected.

    Args:
        name: A folder with ``manifest.jsonl``, of LibriSpeech or Common Voice; or ``hf:OWNER/NAME[/CONFIG][:SPLIT]``.
        selection: Of what is there.

    Raises:
        SpeechError: ``not_found`` if there is no such corpus; ``invalid_request`` if it has no known form, if a part
            of it is not as it must be, or if nothing of it is selected; ``missing_extra``.
    """
    found = selection.of(_all(name))
    if not found:
        raise SpeechError(ErrorCode.INVALID_REQUEST, f"No recording of the corpus {name} is left by the filters.")
    if len({one.id for one in found}) < len(found):
        raise SpeechError(ErrorCode.INVALID_REQUEST, f"The corpus {name} has recordings with the same id.")
    return Corpus(name, tuple(found))


def _all(name: str) -> Iterable[Utterance]:
    if name.startswith(PREFIX):
        return read_dataset(name.removeprefix(PREFIX))
    folder = Path(name)
    if not folder.is_dir():
        raise SpeechError(ErrorCode.NOT_FOUND, f"There is no folder {name}. Name one with recordings: --corpus DIR")
    if is_manifest(folder):
        return read_manifest(folder)
    if texts_of(folder):
        return read_librispeech(folder)
    if folders_of(folder):
        return read_common_voice(folder)
    raise SpeechError(
        ErrorCode.INVALID_REQUEST,
        f"{name} is no corpus of a known form: there is no manifest.jsonl, and it is laid out neither as LibriSpeech "
        "nor as Common Voice. docs/evals.md describes them.",
    )
