"""Two runs, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from evals.intervals import Change, quantile_change, ratio_change, ratio_change_apart
from evals.report import Report, load
from evals.samples import Sample, read_samples
from evals.targets.address import address
from schemas.errors import ErrorCode, SpeechError

QUANTILES: Final = {"p50": 0.5, "p95": 0.95}
"""Of values, as the ids of figures end."""
_SPEED: Final = ".rtfx"
"""How figures end that are ratios of times."""


class Run(Struct, frozen=True, eq=False):
    """The folder of a run, read."""

    folder: Path
    report: Report
    samples: tuple[Sample, ...]

    @property
    def is_of_engine(self) -> bool:
        """Whether its times are of an engine alone, without files, queue and network."""
        return address(self.report.conditions.target).kind == "engine"


class Pair(Struct, frozen=True, eq=False):
    """A sample in both runs."""

    base: Sample
    other: Sample


class Pairs(Struct, frozen=True, eq=False):
    """What two runs have in common."""

    base: Run
    other: Run
    both: tuple[Pair, ...]
    gone: tuple[Sample, ...]
    """Samples of the first run that the second lacks."""
    new: int
    """How many the second has and the first lacks."""
    unlike: tuple[Sample, ...]
    """Samples of the first run that are of another recording, or another text, in the second."""
    is_timed: bool
    """Whether the times of both are of the same work; if not, pairs have none."""

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

    def changes(self) -> dict[str, Change]:
        """Of all figures that both runs have, by id."""
        found = {name: change_of_ratio(self.both, name) for name in self.ratios}
        for name in self.values:
            found |= {f"{name}_{end}": change_of_quantile(self.both, name, q) for end, q in QUANTILES.items()}
        if self.is_timed:
            apart = [tuple(one for one in run.samples if not one.is_paired) for run in (self.base, self.other)]
            found |= {name: _apart(apart[0], apart[1], name) for one in apart[0] for name in one.ratios}
        return {name: change for name, change in found.items() if change}


def read_run(folder: Path) -> Run:
    """A run by its folder. Raises ``SpeechError``: ``not_found``, ``invalid_request``."""
    return Run(folder, load(folder), tuple(read_samples(folder)))


def paired(base: Run, other: Run) -> Pairs:
    """Pair two runs: samples of the same recording and text.

    Raises:
        SpeechError: ``invalid_request`` if they have nothing in common.
    """
    is_timed = base.is_of_engine == other.is_of_engine
    mine, theirs = ({(one.area, one.id): one for one in run.samples if one.is_paired} for run in (base, other))
    shared = [Pair(one, theirs[key]) for key, one in mine.items() if key in theirs]
    alike = [pair for pair in shared if _content(pair.base) == _content(pair.other)]
    if not alike and not any(not one.is_paired for one in base.samples):
        raise SpeechError(
            ErrorCode.INVALID_REQUEST, f"{base.folder} and {other.folder} have no samples in common: other corpora?"
        )
    return Pairs(
        base,
        other,
        both=tuple(alike if is_timed else [Pair(_untimed(pair.base), _untimed(pair.other)) for pair in alike]),
        gone=tuple(one for key, one in mine.items() if key not in theirs),
        new=sum(key not in mine for key in theirs),
        unlike=tuple(pair.base for pair in shared if _content(pair.base) != _content(pair.other)),
        is_timed=is_timed,
    )


def change_of_ratio(pairs: Sequence[Pair], name: str) -> Change | None:
    """The change of a ratio of sums."""
    having = [pair for pair in pairs if name in pair.base.ratios and name in pair.other.ratios]
    first, second = (_sides(side, name) for side in ([pair.base for pair in having], [pair.other for pair in having]))
    return ratio_change(first, second, [pair.base.block for pair in having])


def change_of_quantile(pairs: Sequence[Pair], name: str, q: float) -> Change | None:
    """The change of a quantile of values."""
    having = [pair for pair in pairs if name in pair.base.values and name in pair.other.values]
    first = [pair.base.values[name] for pair in having]
    second = [pair.other.values[name] for pair in having]
    return quantile_change(first, second, [pair.base.block for pair in having], q)


def _apart(base: Sequence[Sample], other: Sequence[Sample], name: str) -> Change | None:
    first, second = (_sides([one for one in side if name in one.ratios], name) for side in (base, other))
    return ratio_change_apart(first, second)


def _sides(samples: Sequence[Sample], name: str) -> tuple[list[float], list[float]]:
    return [one.ratios[name].part for one in samples], [one.ratios[name].whole for one in samples]


def _content(one: Sample) -> tuple[str, str]:
    return one.recording, one.reference


def _untimed(one: Sample) -> Sample:
    ratios = {name: ratio for name, ratio in one.ratios.items() if not name.endswith(_SPEED)}
    return replace(one, values={}, ratios=ratios)
