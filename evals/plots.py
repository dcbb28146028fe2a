"""The plots of a report."""

from __future__ import annotations

from typing import Any

import numpy as np

from evals.report import Plot
from evals.svg import COLOURS, INK, drawing


def svg(plot: Plot) -> str:
    """One ``<svg>`` element."""

    def draw(axes: Any) -> None:  # noqa: ANN401  matplotlib has no types
        for number, series in enumerate(plot.series):
            colour = COLOURS[number % len(COLOURS)]
            if plot.style == "ecdf":
                axes.ecdf(np.asarray(series.x), label=series.name, color=colour)
            elif plot.style == "steps":
                axes.step(series.x, series.y, where="post", label=series.name, color=colour, linewidth=1.6)
            else:
                width = 0.8 / len(plot.series)
                places = np.asarray(series.x) + (number - (len(plot.series) - 1) / 2) * width
                axes.bar(places, series.y, width, label=series.name, color=colour)
                if series.low and series.high:
                    spread = np.abs(np.array([series.low, series.high]) - np.asarray(series.y))
                    axes.errorbar(places, series.y, spread, fmt="none", ecolor=INK, elinewidth=0.8, capsize=2)
        if plot.labels:
            axes.set_xticks(range(len(plot.labels)), plot.labels)
        if plot.x_limit is not None:
            axes.set_xlim(0, plot.x_limit)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.y_label)
        axes.grid(visible=True, axis="y", color="#888888", alpha=0.25, linewidth=0.6)
        if len(plot.series) > 1:
            axes.legend(frameon=False, fontsize=9)

    return drawing(draw, plot.title)
