"""What a run of the benchmarks found: ``report.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from benchmarks.targets import TARGETS

SCHEMA = 1


class Estimate(Struct, frozen=True):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    """Measurements, or pairs of them."""

    def scaled(self, factor: float, offset: float = 0.0) -> Estimate:
        """The same in another unit; ``factor`` is positive."""
        value, low, high = (factor * one + offset for one in (self.value, self.low, self.high))
        return Estimate(value, low, high, self.n)


class Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measured figure."""

    id: str
    """As in ``asr.trimmed.greedy.n8``; targets refer to it."""
    title: str
    unit: str
    estimate: Estimate | None = None
    """``None`` if it was not measured."""
    reason: str = ""
    """Why it was not measured."""
    details: dict[str, str] = {}
    """What belongs beside the figure, such as the word error rate beside a speed."""
    commands: tuple[str, ...] = ()
    """What ran: ours first, then what it is compared with."""

    @property
    def verdict(self) -> Literal["met", "missed", "met, within noise", "missed, within noise", "not measured", ""]:
        """Whether the target is met. Within noise: the interval reaches to the other side of the bound."""
        target = TARGETS.get(self.id)
        if self.estimate is None:
            return "not measured"
        if target is None:
            return ""
        met = target.holds(self.estimate.value)
        is_clear = met == target.holds(self.estimate.low) == target.holds(self.estimate.high)
        if met:
            return "met" if is_clear else "met, within noise"
        return "missed" if is_clear else "missed, within noise"


class Series(Struct, frozen=True):
    """One curve or cloud of points."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


class Plot(Struct, frozen=True, kw_only=True):
    """A picture, as data."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    style: Literal["lines", "points", "ecdf"] = "lines"
    """``ecdf`` draws the share of ``y`` values up to each; ``x`` is unused."""
    bound: float | None = None
    """A target, drawn across."""


class Conditions(Struct, frozen=True, kw_only=True):
    """Where and when a section was measured."""

    started_at: str
    """RFC 3339, UTC."""
    commit: str
    cpu: str
    cores: int
    memory_gib: float
    python: str
    versions: dict[str, str]
    others_load: float
    """Cores that were busy in the two seconds before the section: 0 on a quiet machine. Above 0.5 figures are not to be
    trusted. (The load average would still count the section before.)"""
    device: str
    compute_type: str
    quick: bool
    gpu: str = ""
    """Its name, if ``device`` is one."""


class Section(Struct, frozen=True, kw_only=True):
    """One part of the benchmarks."""

    name: str
    conditions: Conditions
    took_s: float
    rows: tuple[Row, ...] = ()
    plots: tuple[Plot, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""
    """Why it broke off, if it did; ``rows`` are those that were done."""


class Report(Struct, frozen=True, kw_only=True):
    """Everything, section by section. A section that is run again takes the place of its older self."""

    schema: int = SCHEMA
    sections: tuple[Section, ...] = ()

    def with_section(self, section: Section) -> Report:
        """This report with a section added or replaced."""
        kept = [old for old in self.sections if old.name != section.name]
        return Report(sections=(*kept, section))

    def row(self, row_id: str) -> Row | None:
        """The row of that id."""
        rows = (row for section in self.sections for row in section.rows)
        return next((row for row in rows if row.id == row_id), None)


def load(path: Path) -> Report:
    """The report in a file; an empty one if there is none, or one of another schema."""
    try:
        report = msgspec.json.decode(path.read_bytes(), type=Report)
    except (FileNotFoundError, msgspec.DecodeError):
        return Report()
    return report if report.schema == SCHEMA else Report()


def save(report: Report, path: Path) -> None:
    """Write the report, readable by people too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
