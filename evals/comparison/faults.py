"""What makes a comparison say less than it seems to: a gate that fits nothing, and what is no longer measured."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from evals.comparison.gate import Gate, fits
from evals.comparison.pairs import QUANTILES, Pairs
from evals.intervals import Estimate
from evals.report import Row, Target
from evals.samples import Sample

_NAMED: Final = 3
"""So many of what is wrong are told."""
_NONE: Final = Target(0, "at most")


def faults(pairs: Pairs, gate: Gate, rows: Sequence[Row], *, is_own: bool, is_subset: bool) -> list[Row]:
    """A row that fails for each kind of fault there is.

    Args:
        pairs: The runs.
        gate: What fails.
        rows: As they were judged.
        is_own: Whether someone wrote the gate for these runs: all that it names must be there. The gate that everyone
            has names areas that a run need not have.
        is_subset: Whether the second run may lack samples of the first.
    """
    broken = [pair.base for pair in pairs.both if pair.other.error and not pair.base.error]
    lost, apart = _lost(pairs, gate, {row.id for row in rows})
    found = [
        _fault(
            "gate.failed_samples",
            "Samples that the run before has and that failed after",
            [f"{one.area} {one.id}" for one in broken],
            "See their errors in samples.jsonl of the run after.",
        ),
        _fault(
            "gate.other_samples",
            "Samples of other recordings or texts under the same name",
            _names(pairs.unlike),
            "They are not compared: measure both runs on the same corpus.",
        ),
        _fault(
            "gate.lost_figures",
            "Figures of the gate that were measured before, and are no more",
            lost,
            "Measure them again, or take them out of the gate.",
        ),
    ]
    if not is_subset:
        found.append(
            _fault(
                "gate.missing_samples",
                "Samples that the run after lacks",
                _names(_missing(pairs)),
                "Measure the same areas and recordings in both runs; if fewer are meant, say --subset.",
            )
        )
    if is_own:
        known = {row.id for run in (pairs.base, pairs.other) for row in run.report.rows}
        strange = [pattern for pattern in gate.patterns if not any(fits(pattern, name) for name in known)]
        found.append(
            _fault(
                "gate.unknown_figures",
                "Patterns of the gate that fit no figure of either run",
                strange,
                "Correct them, or take them out. An asterisk stands for anything but a dot: *.wer is asr.wer.",
            )
        )
        found.append(
            _fault(
                "gate.incomparable_figures",
                "Figures of the gate that samples do not have, so that nothing can be said of a change",
                apart,
                "Take them out of the gate.",
            )
        )
    return [*(row for row in found if row), *_nothing(gate, rows)]


def _fault(name: str, title: str, what: Sequence[str], do: str) -> Row | None:
    if not what:
        return None
    more = f" and {len(what) - _NAMED} more" if len(what) > _NAMED else ""
    n = float(len(what))
    return Row(
        id=name,
        title=title,
        estimate=Estimate(n, n, n, len(what)),
        target=_NONE,
        note=f"{', '.join(what[:_NAMED])}{more}. {do}",
    )


def _nothing(gate: Gate, rows: Sequence[Row]) -> list[Row]:
    """Of a gate with floors: a row if none of its figures could be judged."""
    if not (gate.absolute or gate.relative) or any(row.judged and not row.hard_zero for row in rows):
        return []
    return [
        Row(
            id="gate.judged",
            title="Figures of the gate that could be judged",
            estimate=Estimate(0.0, 0.0, 0.0, 0),
            target=Target(1, "at least"),
            note="Nothing was compared that the gate is for: measure an area that it names, of two speakers or more.",
        )
    ]


def _lost(pairs: Pairs, gate: Gate, compared: Collection[str]) -> tuple[list[str], list[str]]:
    """Figures with a floor that are not compared: those that are no longer measured, and others."""
    after = {row.id for row in pairs.other.report.rows if row.estimate}
    times: set[str] = set() if pairs.is_timed else _times(pairs)
    due = [
        row.id
        for row in pairs.base.report.rows
        if row.estimate and gate.floor(row.id, row.estimate.value) is not None and row.id not in {*compared, *times}
    ]
    return [name for name in due if name not in after], [name for name in due if name in after]


def _times(pairs: Pairs) -> set[str]:
    return {f"{name}_{end}" for one in pairs.base.samples for name in one.values for end in QUANTILES}


def _missing(pairs: Pairs) -> list[Sample]:
    """Without lines of conversations that were held after, too, and went otherwise."""
    held = {(one.area, one.block) for one in pairs.other.samples}
    return [one for one in pairs.gone if one.recording or one.reference or (one.area, one.block) not in held]


def _names(samples: Sequence[Sample]) -> list[str]:
    return [f"{one.area} {one.id}" for one in samples]
