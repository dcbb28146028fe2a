"""One run of ``antiphon eval system``."""

from __future__ import annotations

import os
import time
from typing import Final

from evals.report import Section
from evals.system import figures
from evals.system.canaries import MOST_SESSIONS, secrets
from evals.system.load import capacity
from evals.system.measure import isolated_requests, isolated_sessions, spoken, under_load
from evals.system.memory import memory_mb
from evals.system.resumption import resume_all
from evals.system.traffic import Traffic
from evals.targets.address import address
from evals.targets.base import Search, Target
from server.demo.server_process import child_server
from server.evaluation.abilities import Ability
from server.evaluation.area import Area, Findings, Track, Wish
from server.evaluation.targets import SERVER_LOG, opened
from server.settings import Settings

_CALLERS_A_CORE: Final = 2
_CALLERS_ELSEWHERE: Final = 8
_AT_ONCE: Final = 8
_RESUMED: Final = 3
_CUTS: Final = 12
_STARTS: Final = 2
_LEAST: Final = 30
"""Requests of a load."""
_QUICK_S: Final = 3.0
_QUICK_LOADS: Final = (1.0, 2.0)
_QUICK_LEAST: Final = 8
_QUICK_SECRETS: Final = 4


class SystemWish(Wish, frozen=True, kw_only=True):
    """What is to be measured."""

    loads: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    """Shares of the capacity."""
    seconds: float = 10.0
    """Each load lasts so long."""
    slo_s: float = 1.0
    """In which a request should be served."""


async def evaluate_system(wish: SystemWish, settings: Settings, track: Track) -> Findings:
    """Measure a server as a whole: load, memory, starts, and whether its callers are kept apart.

    Raises:
        SpeechError: As targets have it; ``invalid_request`` for one that does not both recognise and speak.
    """
    began = time.perf_counter()
    ready_s = await _cold_starts(wish, track)
    async with opened(wish, settings, search=Search(beam=1)) as target:
        loaded = await _loaded(wish, target, track, ready_s, began)
        began = time.perf_counter()
        apart = await _apart(wish, target, track, began)
    options = {"load": ", ".join(f"{load:g}×" for load in wish.loads), "slo": f"{wish.slo_s:g} s"}
    sections, samples = loaded
    return Findings(sections=(sections, apart), samples=tuple(samples), models=target.models, options=options)


async def _cold_starts(wish: SystemWish, track: Track) -> list[float]:
    """Seconds from the command to ready, of servers of this machine."""
    if address(wish.target).kind != "inproc":
        return []
    found: list[float] = []
    starts = 1 if wish.quick else _STARTS
    with track("Starting", starts) as advance:
        for _ in range(starts):
            began = time.perf_counter()
            async with child_server(wish.out / SERVER_LOG, wish.server_options) as server:
                await server.ready()
                found.append(time.perf_counter() - began)
            advance(1)
    return found


async def _loaded(
    wish: SystemWish, target: Target, track: Track, ready_s: list[float], began: float
) -> tuple[Section, list[figures.Sample]]:
    files = await spoken(target.synthesizer, secrets(_QUICK_SECRETS if wish.quick else MOST_SESSIONS))
    traffic = Traffic(target.transcriber, target.synthesizer, files)
    at_rest_mb = None if target.pid is None else memory_mb(target.pid)
    callers = _CALLERS_ELSEWHERE if target.pid is None else _CALLERS_A_CORE * (os.cpu_count() or 1)
    for_s = _QUICK_S if wish.quick else wish.seconds
    loads = _QUICK_LOADS if wish.quick else wish.loads
    least = _QUICK_LEAST if wish.quick else _LEAST
    with track("Loading", 1 + len(loads)) as advance:
        found = await capacity(traffic.ask, callers=callers, for_s=for_s)
        advance(1)
        levels = await under_load(
            traffic.ask,
            loads,
            found.per_s,
            for_s=for_s,
            least=least,
            seed=wish.seed,
            pid=target.pid,
            advance=lambda: advance(1),
        )
    rows = [
        *figures.load_rows(levels, found, wish.slo_s),
        *figures.memory_rows(levels, at_rest_mb),
        *figures.cold_start_rows(ready_s),
    ]
    section = Section(
        name=figures.AREA,
        title="Load",
        took_s=time.perf_counter() - began,
        notes=(
            f"Open loop: requests come at random (Poisson), {for_s:g} s or longer at each load, whatever is answered.",
        ),
        rows=tuple(rows),
        tables=figures.load_tables(levels, wish.slo_s),
        plots=figures.load_plots(levels, wish.slo_s),
    )
    return section, figures.samples(levels, found)


async def _apart(wish: SystemWish, target: Target, track: Track, began: float) -> Section:
    chosen = secrets(_QUICK_SECRETS if wish.quick else MOST_SESSIONS)
    files = await spoken(target.synthesizer, chosen)
    with track("Telling secrets", len(chosen) * (1 if target.antiphon is None else 2) + _RESUMED) as advance:
        requests = await isolated_requests(target.transcriber, chosen, files, lambda: advance(1))
        sessions = resumption = None
        if target.antiphon is not None:
            sessions = await isolated_sessions(
                target.antiphon, chosen, files, at_once=_AT_ONCE, advance=lambda: advance(1)
            )
            cuts = 4 if wish.quick else _CUTS
            resumption = await resume_all(target.antiphon, files[:_RESUMED], cuts_each=cuts, advance=lambda: advance(1))
    return Section(
        name="isolation",
        title="Sessions kept apart, and resumed",
        took_s=time.perf_counter() - began,
        rows=(
            *figures.isolation_rows("leaks", "Words of one session seen in another", sessions),
            *figures.isolation_rows("request_leaks", "Words of one request seen in the answer to another", requests),
            *figures.resumption_rows(resumption),
        ),
    )


SYSTEM: Final = Area(
    name="system",
    title="The server as a whole",
    needs=frozenset({Ability.RECOGNISE, Ability.SPEAK}),
    measure=evaluate_system,
)
