"""The change between two runs as a report of its own: ``antiphon eval compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from evals.asr.words import score
from evals.clip import mono_mp3
from evals.comparison.faults import faults
from evals.comparison.gate import Gate, fits
from evals.comparison.pairs import Pair, Pairs, change_of_ratio
from evals.decoding import decode
from evals.figures import bound, roughness
from evals.intervals import Change, Estimate
from evals.report import Case, Measured, Plot, Report, Row, Section, Series, Table, Target
from evals.samples import Sample
from schemas.audio import SESSION_RATE_HZ

CANNOT_TELL: Final = "The gate cannot tell."
_CASES: Final = 12
_CASE_S: Final = 30.0
_GOES_ON: Final = "… "
"""How a title begins that goes on with the one above."""
_BY: Final = ("language", "kind", "SNR")
_NOTE: Final = (
    "After less before, over the samples of both runs, drawn together pair by pair and by speaker, 10,000 times. "
    "A figure fails only if the lower end of how much worse it got is above 0, and it got worse by more than its "
    "floor. Changes of shares are in points."
)


def change(pairs: Pairs, gate: Gate | None, title: str, *, is_subset: bool = False) -> Report:
    """The report.

    Args:
        pairs: The runs.
        gate: What fails; left out, :class:`Gate` as it is, whose figures the runs need not have.
        title: Of the page.
        is_subset: Whether the second run may lack samples of the first.
    """
    is_own, gate = gate is not None, gate or Gate()
    known = {row.id: row for run in (pairs.base, pairs.other) for row in _entitled(run.report.rows)}
    judged = [*_rows(pairs, gate, known), *_zeros(pairs, gate)]
    rows = [*judged, *faults(pairs, gate, judged, is_own=is_own, is_subset=is_subset)]
    before, after = pairs.base.report.conditions, pairs.other.report.conditions
    section = Section(
        name="change",
        title="What changed",
        took_s=0.0,
        notes=(_NOTE, *_only(pairs)),
        rows=tuple(rows),
        tables=tuple(_tables(pairs, known)),
        plots=tuple(_plots(pairs, known)),
        cases=tuple(_cases(pairs)),
        case_note="What got worse by most. Struck through: as it was said. Highlighted: as it was recognised.",
        head="change",
    )
    options = {
        "before": f"{before.target}, {_models(before.models)}{_options(before.options)} {before.commit}".strip(),
        "after": f"{after.target}, {_models(after.models)}{_options(after.options)} {after.commit}".strip(),
    }
    return Report(title=title, conditions=replace(after, options=options, models={}), sections=(section,))


def _models(models: dict[str, str]) -> str:
    return ", ".join(models.values()) or "models unknown"


def _options(options: dict[str, str]) -> str:
    return "".join(f", {name} {value}" for name, value in options.items())


def _entitled(rows: Sequence[Row]) -> list[Row]:
    """Rows by titles that stand alone: ``… 95th percentile`` says of what."""
    found: list[Row] = []
    whole = ""
    for row in rows:
        if row.title.startswith(_GOES_ON):
            found.append(replace(row, title=f"{whole}, {row.title.removeprefix(_GOES_ON)}"))
        else:
            whole = row.title.removesuffix(", median")
            found.append(row)
    return found


def _rows(pairs: Pairs, gate: Gate, known: dict[str, Row]) -> list[Row]:
    return [_row(name, found, gate, known[name]) for name, found in pairs.changes().items() if name in known]


def _row(name: str, found: Change, gate: Gate, known: Row) -> Row:
    is_up = known.better == "higher"
    passes = gate.passes(name, found, higher_is_better=is_up)
    floor = gate.floor(name, found.base)
    notes = [roughness(found.change, "speakers or texts")]
    if found.detectable:
        notes.insert(0, f"A change of {bound(found.detectable, known.unit)} would be found four times in five.")
    elif found.detectable is None and floor is not None:
        notes.append(CANNOT_TELL)
    if found.detectable == found.change.value == 0:
        notes.insert(0, "The same in both.")
    return Row(
        id=name,
        title=known.title,
        unit=known.unit,
        estimate=found.change,
        target=None
        if floor is None or passes is None
        else Target(-floor, "at least")
        if is_up
        else Target(floor, "at most"),
        beside={"before": _exact(found.base, found), "after": _exact(found.value, found)},
        note=" ".join(filter(None, notes)),
        judged="" if passes is None else "met" if passes else "missed",
    )


def _exact(value: float, found: Change) -> Estimate:
    return Estimate(value, value, value, found.change.n)


def _zeros(pairs: Pairs, gate: Gate) -> list[Row]:
    after = {row.id: row for row in pairs.other.report.rows}
    wanted = [
        row
        for row in (*pairs.base.report.rows, *(row for row in pairs.other.report.rows))
        if row.hard_zero or gate.must_be_zero(row.id)
    ]
    rows: list[Row] = []
    for row in {row.id: row for row in wanted}.values():
        now = after.get(row.id)
        if now is None or now.estimate is None:
            was_measured = any(one.id == row.id and one.estimate for one in pairs.base.report.rows)
            note = "was measured before, and is no more" if was_measured else "not measured"
            rows.append(replace(row, estimate=None, note=note, judged="missed" if was_measured else ""))
        else:
            rows.append(replace(now, hard_zero=True))
    return rows


def _only(pairs: Pairs) -> list[str]:
    notes: list[str] = []
    for alone, name in ((len(pairs.gone), "before"), (pairs.new, "after")):
        if alone:
            notes.append(f"{alone} samples are only in the run {name}.")
    if not pairs.is_timed:
        notes.append(
            "Times are not compared: those of one run are of an engine alone, without files, queue or network."
        )
    if pairs.base.report.conditions.corpus != pairs.other.report.conditions.corpus:
        notes.append("The runs name different corpora.")
    return notes


def _error_rates(pairs: Pairs, known: dict[str, Row]) -> list[str]:
    """Those of areas as a whole."""
    return [name for name in pairs.ratios if fits("*.wer", name) and name in known]


def _tables(pairs: Pairs, known: dict[str, Row]) -> list[Table]:
    tables: list[Table] = []
    for name in _error_rates(pairs, known):
        for by in _BY:
            groups = _groups(pairs.both, name, by)
            if len(groups) > 1:
                rows = tuple(_table_row(group, members, name) for group, members in groups.items())
                head = (by, "samples", "before", "after", "change")
                tables.append(Table(title=f"{known[name].title} by {by}", head=head, rows=rows))
    return tables


def _table_row(group: str, members: Sequence[Pair], name: str) -> tuple[str | float | Measured, ...]:
    found = change_of_ratio(members, name)
    if found is None:
        return (group, float(len(members)), "", "", "")
    sides = (Measured(_exact(found.base, found), "%"), Measured(_exact(found.value, found), "%"))
    return (group, float(len(members)), *sides, Measured(found.change, "%"))


def _groups(both: Sequence[Pair], name: str, by: str) -> dict[str, list[Pair]]:
    groups: dict[str, list[Pair]] = {}
    for pair in sorted(both, key=lambda pair: pair.base.group.get(by, "")):
        if name in pair.base.ratios and by in pair.base.group:
            groups.setdefault(pair.base.group[by], []).append(pair)
    return groups


def _plots(pairs: Pairs, known: dict[str, Row]) -> list[Plot]:
    plots: list[Plot] = []
    for name in _error_rates(pairs, known):
        groups = {
            group: found
            for group, members in _groups(pairs.both, name, "language").items()
            if (found := change_of_ratio(members, name))
        }
        places = tuple(map(float, range(len(groups))))
        plots.append(
            Plot(
                title=f"{known[name].title} by language, before and after",
                x_label="language",
                y_label="%",
                series=(
                    Series("before", places, tuple(100 * found.base for found in groups.values())),
                    Series("after", places, tuple(100 * found.value for found in groups.values())),
                ),
                style="bars",
                labels=tuple(groups),
            )
        )
    for name in pairs.values:
        having = [pair for pair in pairs.both if name in pair.base.values and name in pair.other.values]
        row = known.get(f"{name}_p50") or known.get(f"{name}_p95")
        title = row.title.removesuffix(", median").removesuffix(", 95th percentile") if row else name
        plots.append(
            Plot(
                title=title,
                x_label=row.unit if row else "",
                y_label="share of samples",
                series=(
                    Series("before", tuple(pair.base.values[name] for pair in having)),
                    Series("after", tuple(pair.other.values[name] for pair in having)),
                ),
                style="ecdf",
            )
        )
    return plots


def _cases(pairs: Pairs) -> list[Case]:
    def harm(pair: Pair) -> float:
        return sum(
            pair.other.ratios[name].part - ratio.part
            for name, ratio in pair.base.ratios.items()
            if name.endswith("wer") and name in pair.other.ratios
        )

    worst = sorted(pairs.both, key=lambda pair: (-harm(pair), pair.base.id))[:_CASES]
    return [_case(pair, harm(pair), pairs.other.folder) for pair in worst if harm(pair) > 0]


def _case(pair: Pair, harm: float, folder: Path) -> Case:
    one = pair.other
    language = one.group.get("language", "")
    return Case(
        title=f"{one.id} ({one.area}): {harm:.0f} more words wrong",
        beside=score(pair.base.reference, pair.base.hypothesis, language).alignment,
        marks=score(one.reference, one.hypothesis, language).alignment,
        mp3=_heard(one, folder),
    )


def _heard(one: Sample, folder: Path) -> bytes:
    """Nothing if the recording is no longer there."""
    if not one.audio or not (folder / one.audio).is_file():
        return b""
    return mono_mp3(decode(folder / one.audio, one.channel)[: int(_CASE_S * SESSION_RATE_HZ)])
