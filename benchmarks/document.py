"""The table of docs/performance.md, from a report: no figure there is typed by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from benchmarks.numbers_text import with_interval
from benchmarks.report import Report
from benchmarks.targets import TARGETS

MARKED: Final = re.compile(r"(?P<open><!-- benchmarks -->\n).*?(?P<close><!-- /benchmarks -->)", re.DOTALL)
BUSY_LOAD: Final = 0.5
"""From this load average on, something else was at work while it was measured."""


def write(report: Report, path: Path) -> None:
    """Fill in what stands between the marks.

    Raises:
        ValueError: There are no marks in the document.
    """
    text = path.read_text("utf-8")
    filled, number = MARKED.subn(lambda match: match["open"] + tables(report) + match["close"], text)
    if number != 1:
        raise ValueError(f"{path.name} has no <!-- benchmarks --> … <!-- /benchmarks -->")
    path.write_text(filled, "utf-8")


def tables(report: Report) -> str:
    """Targets and what was measured, then every other figure, then where and by which command."""
    lines = ["| measure | target | measured (95 % interval) | verdict |", "|---|---|---|---|"]
    for row_id, target in TARGETS.items():
        row = report.row(row_id)
        measured = with_interval(row.estimate, row.unit) if row else "not measured"
        verdict = "section not run" if row is None else row.reason or row.verdict
        lines.append(_line(target.measure, target.text, measured, verdict))
    lines += ["", "| further figure | measured (95 % interval) | beside it |", "|---|---|---|"]
    for section in report.sections:
        for row in section.rows:
            if row.id not in TARGETS:
                beside = "; ".join(f"{key}: {value}" for key, value in row.details.items())
                lines.append(_line(row.title, row.reason or with_interval(row.estimate, row.unit), beside))
    lines += ["", "| section | command | when, where |", "|---|---|---|"]
    for section in report.sections:
        where = section.conditions
        busy = f", **busy with something else: load {where.others_load}**" if where.others_load > BUSY_LOAD else ""
        quick = ", **quick**" if where.quick else ""
        command = f"`python -m benchmarks {section.name}{' --quick' if where.quick else ''}`"
        lines.append(
            _line(
                section.name,
                command,
                f"{where.started_at}, commit {where.commit}, {where.cores} cores of {where.cpu}, "
                f"{where.device}, {where.compute_type}{quick}{busy}",
            )
        )
    return "\n".join([*lines, ""])


def _line(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
