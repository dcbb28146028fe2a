"""Plots as SVG that stands in a page and takes the page's colours."""

from __future__ import annotations

import io
import re
from typing import Any, Final, cast

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.report import Plot

_COLOURS: Final = ("#3b7dd8", "#d9822b", "#3a9d6e", "#a45bc7")
"""Each is readable on white and on near-black."""
_INK: Final = "#010203"
"""Stands for the colour of the page's text."""
_STYLE: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "antiphon",
    "font.family": "sans-serif",
    "font.size": 10,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def svg(plot: Plot) -> str:
    """One ``<svg>`` element, without a size of its own."""
    with cast("Any", mpl).rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        axes = cast("Any", figure).subplots()
        for number, series in enumerate(plot.series):
            colour = _COLOURS[number % len(_COLOURS)]
            if plot.style == "ecdf":
                axes.ecdf(np.asarray(series.y), label=series.name, color=colour)
            elif plot.style == "points":
                axes.plot(series.x, series.y, "o", label=series.name, color=colour, markersize=4, alpha=0.85)
            else:
                axes.plot(series.x, series.y, "o-", label=series.name, color=colour, markersize=3)
        if plot.bound is not None:
            axes.axhline(plot.bound, color=_INK, linewidth=0.8, linestyle=":", label=f"target: {plot.bound:g}")
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.y_label)
        axes.margins(y=0.12)
        if plot.style != "ecdf":
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.grid(visible=True, axis="y", color="#888888", alpha=0.25, linewidth=0.6)
        axes.legend(frameon=False, fontsize=9)
        file = io.StringIO()
        cast("Any", figure).savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    # Identifiers are those of one figure: in a page with several they would clash.
    mark = f"p{abs(hash((plot.title, plot.x_label))):x}"
    text = re.sub(r'id="([^"]+)"', rf'id="{mark}-\1"', text)
    return re.sub(r'(url\(|href=")#', rf"\1#{mark}-", text)
