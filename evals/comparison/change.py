"""The change between two runs as a report of its own: ``antiphon eval compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from evals.asr.words import score
from evals.clip import mono_mp3
from evals.comparison.gate import Gate
from evals.comparison.pairs import QUANTILES, Pair, Pairs, change_of_quantile, change_of_ratio
from evals.decoding import decode
from evals.figures import bound
from evals.intervals import Change, Estimate
from evals.report import Case, Measured, Plot, Report, Row, Section, Series, Table
from evals.samples import Sample
from schemas.audio import SESSION_RATE_HZ

_CASES: Final = 12
_CASE_S: Final = 30.0
_BY: Final = ("language", "kind", "SNR")
_NOTE: Final = (
    "After less before, over the samples of both runs, drawn together pair by pair and by speaker, 10,000 times. "
    "A figure fails only if the lower end of how much worse it got is above 0, and it got worse by more than its floor."
)


def change(pairs: Pairs, gate: Gate, title: str) -> Report:
    """The report.

    Args:
        pairs: The runs.
        gate: What fails.
        title: Of the page.
    """
    known = {row.id: row for row in (*pairs.base.report.rows, *pairs.other.report.rows)}
    rows = [*_rows(pairs, gate, known), *_zeros(pairs, gate)]
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


def _rows(pairs: Pairs, gate: Gate, known: dict[str, Row]) -> list[Row]:
    changes = [(name, change_of_ratio(pairs.both, name)) for name in pairs.ratios]
    changes += [
        (f"{name}_{ending}", change_of_quantile(pairs.both, name, q))
        for name in pairs.values
        for ending, q in QUANTILES.items()
    ]
    return [_row(name, found, gate, known) for name, found in changes if found and name in known]


def _row(name: str, found: Change, gate: Gate, rows: dict[str, Row]) -> Row:
    known = rows[name]
    passes = gate.passes(name, found, higher_is_better=known.better == "higher")
    floor = gate.floor(name, found.base)
    told = [f"a change of {bound(found.detectable, known.unit)} would be found four times in five"]
    notes = (told if found.detectable else []) + (
        [] if floor is None else [f"fails beyond {bound(floor, known.unit)} for the worse"]
    )
    return Row(
        id=name,
        title=_title(name, rows),
        unit=known.unit,
        estimate=found.change,
        beside={"before": _exact(found.base, found), "after": _exact(found.value, found)},
        note="; ".join(notes),
        judged="" if passes is None else "met" if passes else "missed",
    )


def _title(name: str, rows: dict[str, Row]) -> str:
    """A 95th percentile is told by what the median is of, which stands above it in a report of one run."""
    stem, _, ending = name.rpartition("_")
    median = rows.get(f"{stem}_p50")
    if ending == "p95" and median is not None:
        return f"{median.title.removesuffix(', median')}, 95th percentile"
    return rows[name].title.removeprefix("… ")


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
    for run, name in ((pairs.base, "before"), (pairs.other, "after")):
        if alone := len(run.samples) - len(pairs.both):
            notes.append(f"{alone} samples are only in the run {name}.")
    if pairs.base.report.conditions.corpus != pairs.other.report.conditions.corpus:
        notes.append("The runs name different corpora.")
    return notes


def _tables(pairs: Pairs, known: dict[str, Row]) -> list[Table]:
    tables: list[Table] = []
    for name in (name for name in pairs.ratios if name.endswith("wer") and name in known):
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
    for name in (name for name in pairs.ratios if name.endswith("wer") and name in known):
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
