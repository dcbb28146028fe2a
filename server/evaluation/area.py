"""An area of the evaluation: what is asked of it, and what it found."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import structlog
from msgspec import Struct
from msgspec.structs import replace

from evals.corpora.selection import Selection
from evals.environment import conditions
from evals.intervals import Estimate
from evals.output import begin_anew
from evals.report import Report, Row, Section
from evals.samples import Sample
from evals.targets.address import address
from schemas.errors import ErrorCode, SpeechError
from server.evaluation.abilities import Ability, abilities
from server.settings import Settings

_log = structlog.stdlib.get_logger("antiphon.evals")

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


class Area(Struct, Generic[AnyWish], frozen=True, kw_only=True):
    """A part of the evaluation that can be asked for by itself."""

    name: str
    """As in ``antiphon eval NAME``."""
    title: str
    needs: frozenset[Ability]
    """Of the target."""
    measure: Callable[[AnyWish, Settings, Track], Awaitable[Findings]]


async def evaluate(
    areas: Sequence[tuple[Area[Any], Any]], settings: Settings, track: Track, split: str = ""
) -> tuple[Report, list[Sample]]:
    """Measure areas, one after the other: what else runs would be in the latencies.

    What the target cannot do is not begun, and the report says so; an area that breaks off is a failed figure of the
    report, and the others are measured all the same.

    Raises:
        SpeechError: ``invalid_request`` if the target can do nothing of it; if no area came to anything, what the
            first of them says.
    """
    wish: Wish = areas[0][1]
    able = abilities(wish.target, settings)
    cannot = {area.name: _cannot(wish.target, area.needs - able) for area, _ in areas}
    if all(cannot.values()):
        raise SpeechError(ErrorCode.INVALID_REQUEST, cannot[areas[0][0].name], param="target")
    if wish.fresh:
        begin_anew(wish.out)
    began_s = time.perf_counter()
    before = conditions(wish.target, wish.seed, corpus=wish.corpus, split=split)
    found: list[Findings] = []
    broken: list[Exception] = []
    for area, its in areas:
        if reason := cannot[area.name]:
            section = Section(name=area.name, title=area.title, took_s=0.0, notes=(f"Not measured: {reason}",))
            found.append(Findings(sections=(section,)))
            continue
        began = time.perf_counter()
        try:
            found.append(await area.measure(its, settings, track))
        except Exception as error:  # noqa: BLE001  the boundary between areas: the others must not be lost
            broken.append(error)
            section = _broke_off(area, error, time.perf_counter() - began)
            found.append(Findings(sections=(section,)))
    if len(broken) == sum(not reason for reason in cannot.values()):
        raise broken[0]
    report = Report(
        title=f"{_name(wish.target)}, evaluated",
        conditions=replace(
            before,
            took_s=time.perf_counter() - began_s,
            models=_joined([one.models for one in found]),
            options={**before.options, **_joined([one.options for one in found])},
        ),
        sections=tuple(section for one in found for section in one.sections),
    )
    return report, [sample for one in found for sample in one.samples]


def _name(target: str) -> str:
    return "Antiphon" if address(target).kind in {"inproc", "antiphon"} else target


def _cannot(target: str, lacking: frozenset[Ability]) -> str:
    """Why an area cannot be measured; empty if it can."""
    return f"The target {target} cannot {' or '.join(sorted(lacking))}." if lacking else ""


def _broke_off(area: Area[Any], error: Exception, took_s: float) -> Section:
    """A failure, for JUnit and for the status of the command."""
    causes = list(_causes(error))
    why = "; ".join(dict.fromkeys(map(_told, causes)))
    is_known = all(isinstance(cause, SpeechError) for cause in causes)
    _log.error("area_broke_off", area=area.name, reason=why, exc_info=None if is_known else error)
    row = Row(
        id=f"{area.name}.broke_off",
        title="Broke off before its end",
        estimate=Estimate(1, 1, 1, 1),
        hard_zero=True,
        note=why,
    )
    return Section(name=area.name, title=area.title, took_s=took_s, rows=(row,), notes=(f"Broke off: {why}",))


def _causes(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for one in cast("ExceptionGroup[Exception]", error).exceptions:
            yield from _causes(one)
    else:
        yield error


def _told(error: Exception) -> str:
    return error.message if isinstance(error, SpeechError) else f"{type(error).__name__}: {error}"


def _joined(every: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {key: value for one in every for key, value in one.items()}
