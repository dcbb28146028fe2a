"""``report.html``: one file, nothing loaded from anywhere."""

from __future__ import annotations

import base64
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from evals.intervals import Estimate
from evals.plots import svg
from evals.report import Case, Plot, Report


def page(report: Report) -> str:
    """The whole page."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    filters: dict[str, Any] = environment.filters
    filters.update(figure=figure, bound=bound, svg=_svg, audio=_audio)
    return environment.from_string(files("evals").joinpath("page.html").read_text("utf-8")).render(report=report)


def figure(estimate: Estimate | None, unit: str) -> str:
    """A value with its interval, as people write it: ``4.2 % (2.9 to 5.6)``."""
    if estimate is None:
        return "not measured"
    value, low, high = (
        bound(one, "") if unit != "%" else bound(one, unit).removesuffix(" %")
        for one in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} {unit} ({low} to {high})".replace("  ", " ")


def bound(value: float, unit: str) -> str:
    """A value without an interval."""
    if unit == "%":
        return f"{100 * value:.1f} %"
    digits = 0 if abs(value) >= 10 else 2  # noqa: PLR2004  three figures or so
    return f"{value:.{digits}f} {unit}".strip()


def _svg(plot: Plot) -> Markup:
    return Markup(svg(plot))  # noqa: S704  our own drawing; names in it are escaped by matplotlib


def _audio(case: Case) -> str:
    return f"data:audio/mpeg;base64,{base64.b64encode(case.mp3).decode()}"
