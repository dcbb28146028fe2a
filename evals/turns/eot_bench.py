"""The data of eot-bench, or any in its form: complete turns of people with the silences in them annotated.

A folder with ``manifest.jsonl`` has a row a turn: ``id``, ``language``, ``audio`` (a file of the folder) and
``silence_spans``, a list of ``start`` and ``end`` in seconds, of which the last is the end of the turn and each before
it a hold. What else is in a row (``messages``, ``words``) is not used. The data set itself is
https://huggingface.co/datasets/livekit/eot-bench-data, which keeps the audio in Parquet: write it out as files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from evals.decoding import decode
from evals.turns.corpus import AFTER_S, TurnClip
from evals.turns.rendering import Span
from schemas.audio import SESSION_RATE_HZ
from schemas.errors import ErrorCode, SpeechError

_MANIFEST: Final = "manifest.jsonl"
_MIN_HOLD_S: Final = 0.2
_MAX_HOLD_S: Final = 5.0
"""Holds that count, by the defaults of its harness."""


class _Silence(Struct, frozen=True):
    start: float
    end: float


class _Row(Struct, frozen=True):
    id: str
    language: str
    audio: str
    silence_spans: tuple[_Silence, ...]


def eot_bench_turns(folder: Path) -> list[TurnClip]:
    """The turns of a folder.

    Raises:
        SpeechError: ``not_found`` without a manifest; ``invalid_request`` for a row of another form, or that has no
            silence, of which nobody knows where the turn ends; ``invalid_audio``.
    """
    try:
        lines = (folder / _MANIFEST).read_bytes().splitlines()
        rows = [msgspec.json.decode(line, type=_Row) for line in lines if line.strip()]
    except OSError as error:
        raise SpeechError(ErrorCode.NOT_FOUND, f"{folder} has no {_MANIFEST}.") from error
    except msgspec.DecodeError as error:
        raise SpeechError(ErrorCode.INVALID_REQUEST, f"{_MANIFEST} in {folder} is no eot-bench: {error}.") from error
    return [_clip(folder, row) for row in rows]


def _clip(folder: Path, row: _Row) -> TurnClip:
    if not row.silence_spans:
        raise SpeechError(ErrorCode.INVALID_REQUEST, f"The turn {row.id} has no silence_spans.")
    try:
        samples = decode(folder / row.audio)
    except (OSError, ValueError) as error:
        raise SpeechError(ErrorCode.INVALID_AUDIO, f"The turn {row.id} cannot be read: {error}.") from error
    *holds, end = row.silence_spans
    end_samples = round(end.start * SESSION_RATE_HZ)
    # Policies may wait longer than the recording goes on.
    missing = max(0, end_samples + round(AFTER_S * SESSION_RATE_HZ) - len(samples))
    return TurnClip(
        name=row.id,
        language=row.language,
        voice="",
        channel="recording",
        text="",
        samples=np.pad(samples, (0, missing)),
        speech=Span(0, end_samples),
        holds=tuple(
            Span(round(hold.start * SESSION_RATE_HZ), round(hold.end * SESSION_RATE_HZ))
            for hold in holds
            if _MIN_HOLD_S <= hold.end - hold.start <= _MAX_HOLD_S
        ),
        block=row.id,
    )
