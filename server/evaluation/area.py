"""An area of the evaluation: what is asked of it, and what it found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from evals.corpora.selection import Selection
from evals.environment import conditions
from evals.report import Report, Section
from evals.samples import Sample
from server.settings import Settings

Track = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows the progress of a stage of so many steps; what it gives is called with the steps done."""


class Wish(Struct, frozen=True, kw_only=True):
    """What is to be measured. Areas add what only they know."""

    target: str
    """As :func:`evals.targets.address.address` reads it."""
    out: Path
    """Folder of the run."""
    corpus: str = ""
    """As :func:`evals.corpora.corpus.open_corpus` reads it; empty for areas that need none."""
    selection: Selection = Selection()
    """Of the corpus."""
    seed: int = 0
    parallel: int = 2
    """Requests at a time."""
    key: str | None = None
    """An API key of the server."""
    fresh: bool = False
    """Whether to ask again what earlier runs have asked."""
    quick: bool = False
    """A few of everything: it shows that all works, not how well."""
    server_options: tuple[str, ...] = ()
    """Of the server that is started."""


class Findings(Struct, frozen=True, kw_only=True):
    """What an area found."""

    sections: tuple[Section, ...]
    samples: tuple[Sample, ...] = ()
    models: dict[str, str] = {}
    """By kind."""
    options: dict[str, str] = {}
    """What the figures depend on, besides target and corpus."""


AnyWish = TypeVar("AnyWish", bound=Wish)
Area = Callable[[AnyWish, Settings, Track], Awaitable[Findings]]


async def evaluate(
    areas: Sequence[tuple[Area[AnyWish], AnyWish]], settings: Settings, track: Track, split: str = ""
) -> tuple[Report, list[Sample]]:
    """Measure areas, one after the other: what else runs would be in the latencies.

    Raises:
        SpeechError: ``model_not_installed`` and what else engines and targets say.
    """
    wish = areas[0][1]
    before = conditions(wish.target, wish.seed, corpus=wish.corpus, split=split)
    found = [await area(its, settings, track) for area, its in areas]
    report = Report(
        conditions=replace(
            before,
            models=_joined([one.models for one in found]),
            options=_joined([one.options for one in found]),
        ),
        sections=tuple(section for one in found for section in one.sections),
    )
    return report, [sample for one in found for sample in one.samples]


def _joined(every: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {key: value for one in every for key, value in one.items()}
