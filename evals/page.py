"""``report.html``: one file, nothing loaded from anywhere."""

from __future__ import annotations

import base64
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from evals.figures import figure, wanted
from evals.markdown import shown
from evals.plots import svg
from evals.report import Case, Measured, Plot, Report


def page(report: Report) -> str:
    """The whole page."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    filters: dict[str, Any] = environment.filters
    filters.update(figure=figure, wanted=wanted, svg=_svg, audio=_audio, shown=shown, order=_order, plain=_plain)
    return environment.from_string(files("evals").joinpath("page.html").read_text("utf-8")).render(report=report)


def _svg(plot: Plot) -> Markup:
    return Markup(svg(plot))  # noqa: S704  our own drawing; names in it are escaped by matplotlib


def _audio(case: Case) -> str:
    return f"data:audio/mpeg;base64,{base64.b64encode(case.mp3).decode()}"


def _order(cell: str | float | Measured) -> str:
    """What a cell is sorted by."""
    if isinstance(cell, Measured):
        return str(cell.estimate.value) if cell.estimate else ""
    return str(cell)


def _plain(cell: str | float | Measured) -> bool:
    """Whether it is a word, not a figure."""
    return isinstance(cell, str)
