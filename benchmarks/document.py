"""The tables of docs/performance.md, from a report: no figure there is typed by hand.

A report of a machine with a GPU has a place of its own, and no targets: those are for the machine of two cores.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Final

from benchmarks.numbers_text import with_interval
from benchmarks.report import Report
from benchmarks.targets import TARGETS

BUSY_LOAD: Final = 0.5
"""From this load average on, something else was at work while it was measured."""


def write(report: Report, path: Path) -> None:
    """Fill in what stands between the marks for such a report.

    Raises:
        ValueError: There are no marks in the document, or only a part of the report was measured on a GPU.
    """
    devices = {section.conditions.device.startswith("cuda") for section in report.sections}
    if len(devices) > 1:
        raise ValueError("Some sections were measured on a GPU, some not: give each device an --out of its own.")
    on_gpu = devices == {True}
    place = "benchmarks on a GPU" if on_gpu else "benchmarks"
    marked = re.compile(f"(?P<open><!-- {place} -->\n).*?(?P<close><!-- /{place} -->)", re.DOTALL)
    text = path.read_text("utf-8")
    found = [*_figures(report)] if on_gpu else [*_targets(report), "", *_figures(report, without=TARGETS)]
    tables = "\n".join([*found, "", *_where(report), ""])
    filled, number = marked.subn(lambda match: match["open"] + tables + match["close"], text)
    if number != 1:
        raise ValueError(f"{path.name} has no <!-- {place} --> … <!-- /{place} -->")
    path.write_text(filled, "utf-8")


def _targets(report: Report) -> Iterator[str]:
    yield from ("| measure | target | measured (95 % interval) | verdict |", "|---|---|---|---|")
    for row_id, target in TARGETS.items():
        row = report.row(row_id)
        measured = with_interval(row.estimate, row.unit) if row else "not measured"
        verdict = "section not run" if row is None else row.reason or row.verdict
        yield _line(target.measure, target.text, measured, verdict)


def _figures(report: Report, *, without: Container[str] = ()) -> Iterator[str]:
    yield from ("| figure | measured (95 % interval) | beside it |", "|---|---|---|")
    for section in report.sections:
        for row in section.rows:
            if row.id not in without:
                beside = "; ".join(f"{key}: {value}" for key, value in row.details.items())
                yield _line(row.title, row.reason or with_interval(row.estimate, row.unit), beside)


def _where(report: Report) -> Iterator[str]:
    yield from ("| section | command | when, where |", "|---|---|---|")
    for section in report.sections:
        where = section.conditions
        busy = f", **busy with something else: load {where.others_load}**" if where.others_load > BUSY_LOAD else ""
        quick = ", **quick**" if where.quick else ""
        options = " --quick" if where.quick else ""
        if where.device.startswith("cuda"):
            options += f" --device {where.device} --compute-type {where.compute_type}"
        yield _line(
            section.name,
            f"`python -m benchmarks {section.name}{options}`",
            f"{where.started_at}, commit {where.commit}, {where.gpu or where.device}, {where.compute_type}, "
            f"{where.cores} cores of {where.cpu}{quick}{busy}",
        )


def _line(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
