"""Figures of matplotlib as SVG that stands in a page and takes the page's colours."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any, Final, cast

import matplotlib as mpl
from matplotlib.figure import Figure

COLOURS: Final = ("#3b7dd8", "#d9822b", "#3a9d6e", "#a45bc7", "#c2484d", "#7a7f87")
"""Each is readable on white and on near-black."""
INK: Final = "#010203"
"""Stands for the colour of the page's text."""
_STYLE: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "antiphon",
    "font.family": "sans-serif",
    "font.size": 10,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def drawing(draw: Callable[[Any], None], name: str) -> str:
    """One ``<svg>`` element, without a size of its own.

    Args:
        draw: Gets the axes; colours of ink are :data:`INK`.
        name: Tells it from the other drawings of the page, so that their identifiers do not clash.
    """
    with cast("Any", mpl).rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        draw(cast("Any", figure).subplots())
        file = io.StringIO()
        cast("Any", figure).savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    mark = re.sub(r"\W+", "-", name)
    text = re.sub(r'id="([^"]+)"', rf'id="{mark}-\1"', text)
    return re.sub(r'(url\(|href=")#', rf"\1#{mark}-", text)
