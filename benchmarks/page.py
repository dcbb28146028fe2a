"""``report.html``: one file, nothing loaded from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from benchmarks.numbers_text import with_interval
from benchmarks.plots import svg
from benchmarks.report import Plot, Report
from benchmarks.targets import TARGETS

MARKS = {"met": "good", "missed": "bad", "met, within noise": "good", "missed, within noise": "bad"}
"""Classes of verdicts."""


def page(report: Report) -> str:
    """The whole page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).resolve().parent),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = environment.filters
    filters.update(with_interval=with_interval, svg=_svg)
    template = environment.get_template("page.html")
    return template.render(report=report, targets=TARGETS, marks=MARKS)


def _svg(plot: Plot) -> Markup:
    return Markup(svg(plot))  # our own drawing; names in it are escaped by matplotlib
