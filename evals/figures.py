"""Figures as people write them."""

from __future__ import annotations

from evals.intervals import Estimate
from evals.report import Row


def figure(estimate: Estimate | None, unit: str) -> str:
    """A value with its interval: ``4.2 % (2.9 to 5.6)``; a count has none, nor has what one speaker said."""
    if estimate is None:
        return "not measured"
    if estimate.is_unsure:
        return f"{bound(estimate.value, unit)} (no interval)"
    if estimate.low == estimate.value == estimate.high:
        return bound(estimate.value, unit)
    value, low, high = (
        bound(one, "") if unit != "%" else bound(one, unit).removesuffix(" %")
        for one in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} {unit} ({low} to {high})".replace("  ", " ")


def bound(value: float, unit: str) -> str:
    """A value without an interval."""
    if unit == "%":
        return f"{100 * value:.1f} %"
    digits = 0 if abs(value) >= 10 or value == int(value) else 2  # noqa: PLR2004  three figures or so
    return f"{value:.{digits}f} {unit}".strip()


def roughness(estimate: Estimate | None, of: str) -> str:
    """What is to be said of an interval of few blocks: nothing if they are enough.

    Args:
        estimate: The figure.
        of: What its blocks are, as in ``speakers``.
    """
    if estimate is None or not estimate.is_rough:
        return ""
    if estimate.is_unsure:
        return f"No interval: that needs two {of}, or more."
    return f"Only {estimate.blocks} {of}: intervals are rough, and too narrow rather than too wide."


def wanted(row: Row) -> str:
    """What it should be: ``at most 5.0 %``; empty if it may be anything."""
    if row.target is not None:
        return f"{row.target.sense} {bound(row.target.bound, row.unit)}"
    return "0" if row.hard_zero else ""
