"""The part of the report that is about synthesis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from evals.asr.words import score
from evals.clip import mono_mp3
from evals.report import Case, Section
from evals.runner import Failure
from evals.targets.base import Heard
from evals.tts.figures import AREA, Opinions, errors_of, floor_of, is_read_well, plots, rows, tables
from evals.tts.measure import Reading, Rendition

_WORST: Final = 4
_MISREAD: Final = 8


def section(
    readings: Sequence[Reading], opinions: Opinions, listener: str, *, remembered: int, took_s: float
) -> Section:
    """Everything that was found.

    Args:
        readings: What was spoken.
        opinions: What models say of it.
        listener: Name of the recogniser.
        remembered: Sentences that were spoken in an earlier run.
        took_s: The whole of it.
    """
    voices = ", ".join(dict.fromkeys(f"{one.task.voice or 'default'} ({one.task.language})" for one in readings))
    notes = [f"{len(readings)} sentences, one after the other. Voices: {voices}."]
    if remembered:
        notes.append(f"{remembered} were spoken in earlier runs of the same target, and so are their times.")
    failures = [one.spoken.message for one in readings if isinstance(one.spoken, Failure)]
    unheard = sum(isinstance(one.heard, Failure) for one in readings)
    notes += [f"Not spoken: {len(failures)}, the first because: {failures[0]}"] if failures else []
    notes += [f"{listener} failed on {unheard} of them."] if unheard else []
    return Section(
        name=AREA,
        title="Synthesis",
        took_s=took_s,
        notes=tuple(notes),
        rows=tuple(rows(readings, opinions, listener)),
        tables=tables(readings),
        plots=plots(readings),
        cases=(*_least_understood(readings), *_misread(readings)),
        case_note=f"What was spoken, and what {listener} understood.",
    )


def _least_understood(readings: Sequence[Reading]) -> list[Case]:
    """Texts of which more was lost than when a person reads them."""
    found: list[tuple[int, Reading]] = []
    for one in readings:
        errors, floor = errors_of(one), floor_of(one)
        if errors is not None and errors.errors > (lost := floor.errors if floor else 0):
            found.append((errors.errors - lost, one))
    worst = sorted(found, key=lambda pair: -pair[0])[:_WORST]
    return [_case(one, f"{one.task.id}: {lost} more words wrong than of a person") for lost, one in worst]


def _misread(readings: Sequence[Reading]) -> list[Case]:
    wrong = [one for one in readings if is_read_well(one) is False]
    return [_case(one, f"A {one.task.kind} ({one.task.language}): {one.task.text}") for one in wrong[:_MISREAD]]


def _case(one: Reading, title: str) -> Case:
    assert isinstance(one.spoken, Rendition)
    assert isinstance(one.heard, Heard)
    return Case(
        title=title,
        marks=score(one.task.text, one.heard.text, one.task.language).alignment,
        mp3=mono_mp3(one.spoken.samples),
    )
