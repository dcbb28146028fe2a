"""Turn-taking: ``antiphon eval turns``.

Three looks at the same dialogues. *Pauses*: policies that end turns, side by side on the same audio, as eot-bench has
it. *Conversations*: closed loop with a running server, in real time. *Core*: closed loop with the turn core alone, in
virtual time, where there are enough conversations for rare things.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import httpx
from msgspec.structs import replace

from evals.intervals import Estimate
from evals.report import Row, Section
from evals.turns.conversation_figures import class_plot, conversation_rows, latency_plot, worst_cases
from evals.turns.endpoint_figures import Ours, endpoint_rows, pareto
from evals.turns.live import converse, not_held
from evals.turns.outcomes import Outcomes, outcomes
from evals.turns.pauses import ClipPauses
from evals.turns.performance import Performance
from evals.turns.scenario import Scenario
from schemas.errors import SpeechError


def pauses_section(name: str, title: str, corpus: Sequence[ClipPauses], ours: Ours, notes: Sequence[str]) -> Section:
    """End-of-turn policies on a corpus."""
    began = time.perf_counter()
    holds = sum(len(clip.holds) for clip in corpus)
    counts = f"{len(corpus)} turns with {holds} pauses in them, and {sum(bool(clip.ends) for clip in corpus)} ends."
    return Section(
        name=name,
        title=title,
        notes=(counts, *notes),
        rows=tuple(endpoint_rows(corpus, ours, name)),
        plots=(pareto(corpus, ours, f"{title}: what each policy can be tuned to"),),
        took_s=time.perf_counter() - began,
    )


def conversations_section(
    name: str,
    title: str,
    performances: Sequence[Performance],
    took_s: float,
    *,
    about: str = "",
    are_headlines: bool = True,
) -> Section:
    """Conversations that were held.

    Args:
        name: Of the section.
        title: The same, for people.
        performances: What came of them.
        took_s: The section.
        about: What was done, for who has not read how.
        are_headlines: Whether some of the figures are those that a reader looks for.
    """
    found = outcomes(list(performances))
    broken = [f"{one.name}: {one.unfinished}" for one in performances if one.unfinished]
    late_ms = max((one.late_ms for one in performances), default=0.0)
    notes = [f"{len(performances)} conversations, {found.minutes:.0f} minutes. {about}".strip()]
    if late_ms:
        notes.append(f"The latest frame of the simulated users was sent {late_ms:.0f} ms late.")
    if broken:
        notes.append("Not finished: " + "; ".join(broken))
    unfinished = Row(
        id=f"{name}.unfinished",
        title="Conversations that broke off, or did not begin",
        estimate=Estimate(len(broken), len(broken), len(broken), len(performances)),
        hard_zero=True,
    )
    return Section(
        name=name,
        title=title,
        notes=tuple(notes),
        rows=(
            *(replace(row, is_headline=row.is_headline and are_headlines) for row in conversation_rows(found, name)),
            unfinished,
        ),
        plots=_plots(found, title),
        cases=worst_cases(performances, found),
        case_note="The user is on the left, the agent on the right.",
        took_s=took_s,
    )


def _plots(found: Outcomes, title: str) -> tuple[Any, ...]:
    latencies = [turn.latency_ms for turn in found.turns if turn.latency_ms is not None]
    plots: list[Any] = []
    if latencies:
        plots.append(latency_plot([("turns", latencies)], f"{title}: speech end → turn.ended"))
    if found.overlaps:
        plots.append(class_plot(found, f"{title}: what the user does over the agent"))
    return tuple(plots)


async def converse_all(
    http: httpx.AsyncClient,
    scenarios: Sequence[Scenario],
    turn_settings: dict[str, Any],
    *,
    parallel: int,
    advance: Callable[[], None],
) -> list[Performance]:
    """Hold conversations, some at a time; ``advance`` is called after each.

    Raises:
        SpeechError: What the server says, if it lets none of them begin.
    """
    held: dict[int, Performance] = {}
    refusals: list[SpeechError] = []
    limiter = anyio.CapacityLimiter(parallel)

    async def hold(number: int, scenario: Scenario) -> None:
        async with limiter:
            try:
                held[number] = await converse(http, scenario, turn_settings)
            except SpeechError as error:
                refusals.append(error)
                held[number] = not_held(scenario, error.message)
        advance()

    async with anyio.create_task_group() as tasks:
        for number, scenario in enumerate(scenarios):
            tasks.start_soon(hold, number, scenario)
    if refusals and len(refusals) == len(scenarios):
        raise refusals[0]
    return [held[number] for number in range(len(scenarios))]
