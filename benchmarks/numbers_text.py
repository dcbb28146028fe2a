"""Figures as people read them: as many digits as mean something."""

from __future__ import annotations

from benchmarks.report import Estimate

_HUNDRED = 100
_TEN = 10


def shown(value: float, unit: str = "") -> str:
    """As in ``4.25×``, ``38.2 ms``, ``650 sessions``."""
    size = abs(value)
    digits = 0 if size >= _HUNDRED or value == int(value) else 1 if size >= _TEN else 2
    number = f"{value:,.{digits}f}".replace(",", "\u202f").replace("-", "\u2212")
    return f"{number}{unit}" if unit in {"×", ""} else f"{number} {unit}"


def with_interval(estimate: Estimate | None, unit: str) -> str:
    """As in ``4.25× (4.10 to 4.41)``; ``not measured`` without an estimate."""
    if estimate is None:
        return "not measured"
    if estimate.low == estimate.high:
        return shown(estimate.value, unit)
    return f"{shown(estimate.value, unit)} ({shown(estimate.low)} to {shown(estimate.high)})"
