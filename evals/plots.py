"""The plots of a report."""

from __future__ import annotations

from typing import Any

import numpy as np

from evals.report import Plot, Series
from evals.svg import COLOURS, INK, drawing


def svg(plot: Plot) -> str:
    """One ``<svg>`` element."""

    def draw(axes: Any) -> None:  # noqa: ANN401  matplotlib has no types
        for number, series in enumerate(plot.series):
            _DRAWN[plot.style](axes, series, number, len(plot.series))
        if plot.diagonal:
            axes.axline((0, 0), slope=1, color=INK, linewidth=0.8, linestyle=":")
        if plot.labels:
            axes.set_xticks(range(len(plot.labels)), plot.labels)
        if plot.x_limit is not None:
            axes.set_xlim(0, plot.x_limit)
        if all(value >= 0 for series in plot.series for value in (*series.y, *series.low)):
            axes.set_ylim(bottom=0)
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.y_label)
        axes.grid(visible=True, axis="y", color="#888888", alpha=0.25, linewidth=0.6)
        if len(plot.series) > 1:
            axes.legend(frameon=False, fontsize=9)

    return drawing(draw, plot.title)


def _ecdf(axes: Any, series: Series, number: int, _of: int) -> None:  # noqa: ANN401
    axes.ecdf(np.asarray(series.x), label=series.name, color=_colour(number))


def _steps(axes: Any, series: Series, number: int, _of: int) -> None:  # noqa: ANN401
    axes.step(series.x, series.y, where="post", label=series.name, color=_colour(number), linewidth=1.6)


def _line(axes: Any, series: Series, number: int, _of: int) -> None:  # noqa: ANN401
    style = {"marker": "o", "markersize": 3.5, "linewidth": 1.6}
    axes.plot(series.x, series.y, label=series.name, color=_colour(number), **style)
    if series.low and series.high:
        axes.fill_between(series.x, series.low, series.high, color=_colour(number), alpha=0.18, linewidth=0)


def _points(axes: Any, series: Series, number: int, _of: int) -> None:  # noqa: ANN401
    axes.scatter(series.x, series.y, s=28, label=series.name, color=_colour(number))
    _whiskers(axes, series, np.asarray(series.x))


def _bars(axes: Any, series: Series, number: int, of: int) -> None:  # noqa: ANN401
    width = 0.8 / of
    places = np.asarray(series.x) + (number - (of - 1) / 2) * width
    axes.bar(places, series.y, width, label=series.name, color=_colour(number))
    _whiskers(axes, series, places)


def _whiskers(axes: Any, series: Series, places: Any) -> None:  # noqa: ANN401
    if series.low and series.high:
        spread = np.abs(np.array([series.low, series.high]) - np.asarray(series.y))
        axes.errorbar(places, series.y, spread, fmt="none", ecolor=INK, elinewidth=0.8, capsize=2)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


_DRAWN = {"ecdf": _ecdf, "steps": _steps, "line": _line, "points": _points, "bars": _bars}
