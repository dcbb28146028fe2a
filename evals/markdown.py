"""A report as Markdown, for a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from evals.figures import bound, figure, wanted
from evals.report import Measured, Report, Row, Section, Table

_SIGNS = {"met": "✅ ", "missed": "❌ ", "": ""}


def markdown(report: Report) -> str:
    """Figures and tables, without plots and players."""
    conditions = report.conditions
    where = ", ".join(part for part in (conditions.target, conditions.corpus, conditions.commit) if part)
    lines = [f"## {report.title}", "", f"{where}; seed {conditions.seed}, {conditions.cores} cores.", ""]
    if len(report.sections) > 1 and report.glance:
        lines += ["### At a glance", ""]
        for section, rows in report.glance:
            lines += [f"**{section.title}**", "", *_rows(rows, section.head), ""]
    for section in report.sections:
        lines += _section(section)
    return "\n".join(lines)


def _rows(rows: Sequence[Row], head: str) -> list[str]:
    lines = [f"| figure | {head} | should be | n |", "|---|---|---|---|"]
    for row in rows:
        n = row.estimate.n if row.estimate else ""
        lines.append(
            f"| {_cell(row.title)} | {_SIGNS[row.verdict]}{figure(row.estimate, row.unit)} | {wanted(row)} | {n} |"
        )
    return lines


def _section(section: Section) -> list[str]:
    lines = [f"### {section.title}", "", *(f"{note}  " for note in section.notes)]
    if section.rows:
        lines += ["", *_rows(section.rows, section.head)]
    for table in section.tables:
        lines += ["", *_table(table)]
    return [*lines, ""]


def _table(table: Table) -> list[str]:
    lines = [f"**{table.title}**", "", f"| {' | '.join(table.head)} |", "|---" * len(table.head) + "|"]
    lines += ["| " + " | ".join(map(shown, row)) + " |" for row in table.rows]
    return lines


def shown(cell: str | float | Measured) -> str:
    """A cell of a table."""
    match cell:
        case Measured(estimate=estimate, unit=unit):
            if estimate is None:
                return "–"
            return bound(estimate.value, unit) if estimate.is_unsure else figure(estimate, unit)
        case str():
            return _cell(cell)
        case float() if not cell.is_integer():
            return bound(cell, "")
        case _:
            return f"{cell:.0f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
