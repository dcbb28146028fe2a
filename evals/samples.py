"""What each recording, text or request came to: ``samples.jsonl``, by which two runs are compared pair by pair."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from schemas.errors import ErrorCode, SpeechError

SAMPLES: Final = "samples.jsonl"


class Ratio(Struct, frozen=True, array_like=True):
    """A part and a whole, such as wrong words and words: over many samples, sums are divided."""

    part: float
    whole: float


class Sample(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One observation."""

    area: str
    """``asr``, ``tts``, ``robustness``, ``pauses``, ``conversations`` …"""
    id: str
    """The same in every run; with the area it is unique."""
    block: str
    """What is not independent, such as a speaker, is drawn together."""
    group: dict[str, str] = {}
    """``language``, ``kind`` …: tables and filters go by these."""
    ratios: dict[str, Ratio] = {}
    """By the id of the figure: ``asr.wer``."""
    values: dict[str, float] = {}
    """By the id of the figure, in its unit: ``asr.latency``, of which runs compare median and 95th percentile."""
    recording: str = ""
    """SHA-256 of what was sent, if that is a recording: runs are compared on the same ones."""
    is_paired: bool = True
    """Whether its partner in another run was asked the same; of others, each run's are drawn by themselves."""
    reference: str = ""
    hypothesis: str = ""
    audio: str = ""
    """A file; relative to the folder of the run once it is written. Empty if there is none to hear."""
    channel: int | None = None
    """Of that file; ``None`` mixes all."""
    error: str = ""
    """Why there is no result."""


def write_samples(samples: Iterable[Sample], folder: Path) -> None:
    """Write the file anew, ordered by area and id. Paths in it lead from the folder: others need not know the rest."""
    lines = [
        msgspec.json.encode(_seen_from(folder, one)) for one in sorted(samples, key=lambda one: (one.area, one.id))
    ]
    (folder / SAMPLES).write_bytes(b"".join(line + b"\n" for line in lines))


def _seen_from(folder: Path, one: Sample) -> Sample:
    return replace(one, audio=os.path.relpath(one.audio, folder)) if Path(one.audio).is_absolute() else one


def read_samples(folder: Path) -> list[Sample]:
    """The samples of a run.

    Raises:
        SpeechError: ``not_found`` if it left none; ``invalid_request`` if they are not to be understood.
    """
    try:
        lines = (folder / SAMPLES).read_bytes().splitlines()
        return [msgspec.json.decode(line, type=Sample) for line in lines]
    except OSError as error:
        raise SpeechError(ErrorCode.NOT_FOUND, f"{folder} has no {SAMPLES}: is it the folder of a run?") from error
    except msgspec.DecodeError as error:
        raise SpeechError(
            ErrorCode.INVALID_REQUEST, f"{SAMPLES} in {folder} is of another version: {error}."
        ) from error
