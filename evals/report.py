"""What a run of the evaluation harness found: ``report.json``, and what the page shows."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from evals.intervals import Estimate
from schemas.errors import ErrorCode, SpeechError

SCHEMA = 2
REPORT = "report.json"


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
    better: Literal["lower", "higher", ""] = ""
    """Which change is for the good; of figures without, two runs are not compared."""
    judged: Literal["met", "missed", ""] = ""
    """Where more than a bound decides."""
    is_headline: bool = False
    """Whether it is one of the few that a reader of the whole report looks for."""
    hard_zero: bool = False
    """Whether anything but 0 fails the run, whatever it was before: leaks, crashes, what was lost in a resumption."""

    @property
    def verdict(self) -> Literal["met", "missed", ""]:
        """Whether it is as it should be."""
        if self.judged:
            return self.judged
        if self.estimate is None or (self.target is None and not self.hard_zero):
            return ""
        is_met = (
            self.estimate.value == 0
            if self.hard_zero or self.target is None
            else self.target.is_met(self.estimate.value)
        )
        return "met" if is_met else "missed"


class Series(Struct, frozen=True):
    """One curve, or a row of bars."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    """Lower ends of the intervals of ``y``; as many, or none."""
    high: tuple[float, ...] = ()


class Plot(Struct, frozen=True, kw_only=True):
    """A picture, as data."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    style: Literal["steps", "ecdf", "bars", "line", "points"]
    """``ecdf`` draws the share of ``x`` values up to each; ``bars`` has one of ``labels`` for each ``x``, and so may
    ``line``; a ``points`` names its series."""
    labels: tuple[str, ...] = ()
    x_limit: float | None = None
    diagonal: bool = False
    """Whether to draw where ``y`` is ``x``."""


class Measured(Struct, frozen=True):
    """A figure in a table."""

    estimate: Estimate | None
    unit: str = ""


class Table(Struct, frozen=True, kw_only=True):
    """Figures by groups. The page sorts it by any column."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | float | Measured, ...], ...]
    note: str = ""


class Mark(Struct, frozen=True):
    """A stretch of a transcript held against what was said."""

    kind: Literal["same", "wrong", "missing", "extra"]
    text: str
    """As it was recognised; of what is missing, as it was said."""
    said: str = ""
    """Of what is wrong."""


class Case(Struct, frozen=True, kw_only=True):
    """Something worth hearing."""

    title: str
    text: str = ""
    marks: tuple[Mark, ...] = ()
    mp3: bytes = b""
    """Empty if there is nothing to hear."""
    beside: tuple[Mark, ...] = ()
    """The same by what it is compared with."""


class Section(Struct, frozen=True, kw_only=True):
    """One part of the evaluation."""

    name: str
    title: str
    took_s: float
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    cases: tuple[Case, ...] = ()
    head: str = "measured"
    """What the figures of the rows are called."""
    case_note: str = ""
    """What one hears in them."""


class Conditions(Struct, frozen=True, kw_only=True):
    """What was measured, where."""

    started_at: str
    """RFC 3339, UTC."""
    target: str
    version: str
    commit: str = ""
    """Of the checkout that ran; empty if it was installed."""
    corpus: str = ""
    options: dict[str, str] = {}
    models: dict[str, str]
    """The models by kind, with the beginning of their hashes where those are known."""
    cpu: str
    cores: int
    python: str
    others_load: float
    """Load average of the last minute before: 0 on a quiet machine. Latencies of a busy one are too long."""
    took_s: float = 0.0
    """The whole run."""
    seed: int
    split: str = ""


class Report(Struct, frozen=True, kw_only=True):
    """Everything."""

    title: str = "Antiphon, evaluated"
    conditions: Conditions
    sections: tuple[Section, ...]
    schema: int = SCHEMA

    @property
    def rows(self) -> tuple[Row, ...]:
        """Of all sections."""
        return tuple(row for section in self.sections for row in section.rows)

    @property
    def glance(self) -> tuple[tuple[Section, tuple[Row, ...]], ...]:
        """What to look at first, section by section: headlines, and whatever is not as it should be."""
        found = (
            (section, tuple(row for row in section.rows if row.is_headline or row.verdict == "missed"))
            for section in self.sections
        )
        return tuple((section, rows) for section, rows in found if rows)


def save(report: Report, path: Path) -> None:
    """Write ``report.json``, without the audio of the cases: that is in the page."""
    sections = tuple(
        msgspec.structs.replace(section, cases=tuple(msgspec.structs.replace(case, mp3=b"") for case in section.cases))
        for section in report.sections
    )
    path.write_bytes(
        msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(report, sections=sections)), indent=1)
    )


def load(folder: Path) -> Report:
    """The report of a run, without audio.

    Raises:
        SpeechError: ``not_found`` if the run left none; ``invalid_request`` if it is of another version.
    """
    try:
        return msgspec.json.decode((folder / REPORT).read_bytes(), type=Report)
    except OSError as error:
        raise SpeechError(ErrorCode.NOT_FOUND, f"{folder} has no {REPORT}: is it the folder of a run?") from error
    except msgspec.DecodeError as error:
        raise SpeechError(ErrorCode.INVALID_REQUEST, f"{REPORT} in {folder} is of another version: {error}.") from error
