"""Two runs, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from evals.intervals import Change, quantile_change, ratio_change
from evals.report import Report, load
from evals.samples import Sample, read_samples
from schemas.errors import ErrorCode, SpeechError

QUANTILES: Final = {"p50": 0.5, "p95": 0.95}
"""Of values, as the ids of figures end."""


class Run(Struct, frozen=True, eq=False):
    """The folder of a run, read."""

    folder: Path
    report: Report
    samples: tuple[Sample, ...]


class Pair(Struct, frozen=True, eq=False):
    """A sample in both runs."""

    base: Sample
    other: Sample


class Pairs(Struct, frozen=True, eq=False):
    """What two runs have in common."""

    base: Run
    other: Run
    both: tuple[Pair, ...]

    @property
    def ratios(self) -> tuple[str, ...]:
        """Figures that are ratios of sums."""
        return tuple(
            dict.fromkeys(name for pair in self.both for name in pair.base.ratios if name in pair.other.ratios)
        )

    @property
    def values(self) -> tuple[str, ...]:
        """Figures of which quantiles are taken."""
        return tuple(
            dict.fromkeys(name for pair in self.both for name in pair.base.values if name in pair.other.values)
        )


def read_run(folder: Path) -> Run:
    """A run by its folder. Raises ``SpeechError``: ``not_found``, ``invalid_request``."""
    return Run(folder, load(folder), tuple(read_samples(folder)))


def paired(base: Run, other: Run) -> Pairs:
    """Pair two runs.

    Raises:
        SpeechError: ``invalid_request`` if they have nothing in common.
    """
    there = {(one.area, one.id): one for one in other.samples}
    both = tuple(Pair(one, there[one.area, one.id]) for one in base.samples if (one.area, one.id) in there)
    if not both:
        raise SpeechError(
            ErrorCode.INVALID_REQUEST, f"{base.folder} and {other.folder} have no samples in common: other corpora?"
        )
    return Pairs(base, other, both)


def change_of_ratio(pairs: Sequence[Pair], name: str) -> Change | None:
    """The change of a ratio of sums."""
    having = [pair for pair in pairs if name in pair.base.ratios and name in pair.other.ratios]
    first, second = (
        ([one.ratios[name].part for one in side], [one.ratios[name].whole for one in side])
        for side in ([pair.base for pair in having], [pair.other for pair in having])
    )
    return ratio_change(first, second, [pair.base.block for pair in having])


def change_of_quantile(pairs: Sequence[Pair], name: str, q: float) -> Change | None:
    """The change of a quantile of values."""
    having = [pair for pair in pairs if name in pair.base.values and name in pair.other.values]
    first = [pair.base.values[name] for pair in having]
    second = [pair.other.values[name] for pair in having]
    return quantile_change(first, second, [pair.base.block for pair in having], q)
