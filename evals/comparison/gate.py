"""What change of a figure fails a release: more than chance, and more than matters."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
from msgspec import Struct

from evals.intervals import Change
from schemas.errors import ErrorCode, SpeechError


class Gate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Floors by the id of a figure, in which ``*`` stands for anything but a dot; the first that fits counts.

    So ``*.wer`` is the error rate of each area as a whole, and not that of each way in which speech was damaged: of
    thirty figures that are each judged, some fail by chance. A figure without a floor is shown and fails nothing.
    """

    absolute: dict[str, float] = msgspec.field(
        default_factory=lambda: {
            "*.wer": 0.005,
            "*.cutoffs": 0.01,
            "*.set.cutoffs": 0.01,
            "*.talked_into": 0.01,
            "*.missed": 0.01,
            "*.yield_rate": 0.02,
            "*.right.*": 0.02,
        }
    )
    """In the figure's unit, shares as 0…1: half a point of word error rate, one of turns, two of overlaps."""
    relative: dict[str, float] = msgspec.field(
        default_factory=lambda: {
            "*.*_p95": 0.15,
            "*.latency_p50": 0.15,
            "*.set.latency_*": 0.15,
            "system.capacity": 0.15,
        }
    )
    """Of what it was before. Waiting longer at every end may leave the tail where it is: so the median, too."""
    zero: tuple[str, ...] = ()
    """Figures that must be 0, besides those that the report itself marks so."""

    @property
    def patterns(self) -> tuple[str, ...]:
        """All that it names."""
        return (*self.absolute, *self.relative, *self.zero)

    def floor(self, figure: str, base: float) -> float | None:
        """How much worse a figure may get; ``None`` if it may be anything."""
        for pattern, share in self.relative.items():
            if fits(pattern, figure):
                return share * abs(base)
        return next((floor for pattern, floor in self.absolute.items() if fits(pattern, figure)), None)

    def must_be_zero(self, figure: str) -> bool:
        """Whether this gate wants it to be 0."""
        return any(fits(pattern, figure) for pattern in self.zero)

    def passes(self, figure: str, change: Change, *, higher_is_better: bool) -> bool | None:
        """Whether a change is let through; ``None`` if the figure may be anything, or one cannot tell.

        It fails only if the lower 95 % bound of how much worse it got is above 0, and that is more than the floor.
        """
        floor = self.floor(figure, change.base)
        if floor is None or change.change.is_unsure:
            return None
        worse, at_least = (
            (-change.change.value, -change.change.high)
            if higher_is_better
            else (change.change.value, change.change.low)
        )
        return not (at_least > 0 and worse > floor)


def fits(pattern: str, figure: str) -> bool:
    """Whether a pattern means a figure: part by part, as dots part them."""
    patterns, parts = pattern.split("."), figure.split(".")
    return len(patterns) == len(parts) and all(map(fnmatchcase, parts, patterns))


def read_gate(path: Path) -> Gate:
    """A gate as a TOML file has it.

    Raises:
        SpeechError: ``invalid_request``.
    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Gate)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SpeechError(ErrorCode.INVALID_REQUEST, f"The gate {path} cannot be read: {error}") from error
