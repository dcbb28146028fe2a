"""What a run of the evaluation harness found: ``report.json``, and what the page shows."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from evals.intervals import Estimate

SCHEMA = 1


class Target(Struct, frozen=True):
    """What a figure should be."""

    bound: float
    sense: Literal["at most", "at least"]

    def is_met(self, value: float) -> bool:
        """Whether it is."""
        return value <= self.bound if self.sense == "at most" else value >= self.bound


class Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure."""

    id: str
    """As in ``turns.yield_rate``."""
    title: str
    unit: str = ""
    """``%`` for a share: the estimate is 0…1 then."""
    estimate: Estimate | None = None
    """``None`` if there was nothing to measure it on."""
    target: Target | None = None
    beside: dict[str, Estimate | None] = {}
    """The same figure of what it is compared with."""
    note: str = ""

    @property
    def verdict(self) -> Literal["met", "missed", ""]:
        """Whether the target is met."""
        if self.target is None or self.estimate is None:
            return ""
        return "met" if self.target.is_met(self.estimate.value) else "missed"


class Series(Struct, frozen=True):
    """One curve, or a row of bars."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    """Lower ends of the intervals of ``y``; as many, or none."""
    high: tuple[float, ...] = ()


class Plot(Struct, frozen=True, kw_only=True):
    """A picture, as data."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    style: Literal["steps", "ecdf", "bars"]
    """``ecdf`` draws the share of ``x`` values up to each; ``bars`` has a ``labels`` for each ``x``."""
    labels: tuple[str, ...] = ()
    x_limit: float | None = None


class Case(Struct, frozen=True, kw_only=True):
    """A piece of a conversation worth hearing: user left, agent right."""

    title: str
    text: str
    mp3: bytes


class Section(Struct, frozen=True, kw_only=True):
    """One part of the evaluation."""

    name: str
    title: str
    took_s: float
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    plots: tuple[Plot, ...] = ()
    cases: tuple[Case, ...] = ()


class Conditions(Struct, frozen=True, kw_only=True):
    """What was measured, where."""

    started_at: str
    """RFC 3339, UTC."""
    target: str
    version: str
    models: dict[str, str]
    """The models by kind."""
    cpu: str
    cores: int
    python: str
    others_load: float
    """Load average of the last minute before: 0 on a quiet machine. Latencies of a busy one are too long."""
    seed: int
    split: str


class Report(Struct, frozen=True, kw_only=True):
    """Everything."""

    conditions: Conditions
    sections: tuple[Section, ...]
    schema: int = SCHEMA


def save(report: Report, path: Path) -> None:
    """Write ``report.json``, without the audio of the cases: that is in the page."""
    sections = tuple(
        msgspec.structs.replace(section, cases=tuple(msgspec.structs.replace(case, mp3=b"") for case in section.cases))
        for section in report.sections
    )
    path.write_bytes(
        msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(report, sections=sections)), indent=1)
    )
