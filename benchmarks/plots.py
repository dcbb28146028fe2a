"""Plots as SVG that stands in a page and takes the page's colours."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.report import Plot
from evals.svg import COLOURS, INK, drawing


def svg(plot: Plot) -> str:
    """One ``<svg>`` element, without a size of its own."""

    def draw(axes: Any) -> None:  # noqa: ANN401  matplotlib has no types
        for number, series in enumerate(plot.series):
            colour = COLOURS[number % len(COLOURS)]
            if plot.style == "ecdf":
                axes.ecdf(np.asarray(series.y), label=series.name, color=colour)
            elif plot.style == "points":
                axes.plot(series.x, series.y, "o", label=series.name, color=colour, markersize=4, alpha=0.85)
            else:
                axes.plot(series.x, series.y, "o-", label=series.name, color=colour, markersize=3)
        if plot.bound is not None:
            axes.axhline(plot.bound, color=INK, linewidth=0.8, linestyle=":", label=f"target: {plot.bound:g}")
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.y_label)
        axes.margins(y=0.12)
        if plot.style != "ecdf":
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.grid(visible=True, axis="y", color="#888888", alpha=0.25, linewidth=0.6)
        axes.legend(frameon=False, fontsize=9)

    return drawing(draw, f"{plot.title} {plot.x_label}")
