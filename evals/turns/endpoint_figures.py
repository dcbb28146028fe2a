"""End-of-turn policies side by side on the same pauses: the figures eot-bench has, and those of the policies as set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from evals.intervals import Estimate, Vector, estimate, quantile
from evals.report import Plot, Row, Series, Target
from evals.turns.endpointing import (
    Fire,
    PauseScores,
    Setting,
    decide,
    fewest_cutoffs,
    first_score,
    frontier,
    least_latency,
    least_median,
    model_and_timeout,
    pipecat,
    silence_alone,
    sweep,
    sweep_silence,
)
from evals.turns.pauses import ClipPauses

OURS: Final = "Antiphon"
SMART_TURN: Final = "smart-turn alone"
VAD: Final = "VAD alone"
LESS_CUTOFFS: Final = 0.3
"""Of the false cutoffs at 600 ms that smart-turn alone has, at least this share is to be gone."""
_BUDGETS_MS: Final = (300, 600)
_CUTOFF_BUDGETS: Final = (5, 10)
"""In percent of the holds."""
_VAD_MS: Final = 800
"""Silence after which an agent without a turn detector answers."""


class Ours(Struct, frozen=True, eq=False):
    """What the server under test does with a pause."""

    scores: PauseScores
    """Its end-of-turn probability, as silence grows."""
    profiles: Mapping[str, Fire]
    """Its policies, by name; ``balanced`` is the default."""


def endpoint_rows(corpus: Sequence[ClipPauses], ours: Ours, prefix: str) -> list[Row]:
    """Figures of a corpus.

    Args:
        corpus: Observed pauses.
        ours: The policy under test.
        prefix: Of the rows' ids.
    """
    swept = {OURS: sweep(corpus, ours.scores), SMART_TURN: sweep(corpus, first_score), VAD: sweep_silence(corpus)}
    best = {name: tuned(found) for name, found in swept.items()}
    rows = [
        _row(
            f"{prefix}.cutoffs_at_{budget_ms}",
            f"False cutoffs at {budget_ms} ms",
            "%",
            {name: _cutoffs(corpus, ours, name, found[f"cutoffs_at_{budget_ms}"]) for name, found in best.items()},
            "the fewest of any setting whose mean latency is within",
        )
        for budget_ms in _BUDGETS_MS
    ]
    rows.append(
        Row(
            id=f"{prefix}.fewer_cutoffs_at_600",
            is_headline=True,
            title="Of smart-turn's false cutoffs at 600 ms, gone",
            unit="%",
            estimate=_fewer(corpus, ours, *(best[name]["cutoffs_at_600"] for name in (OURS, SMART_TURN))),
            target=Target(LESS_CUTOFFS, "at least"),
            better="higher",
        )
    )
    rows += [
        _row(
            f"{prefix}.latency_at_{percent}_pct",
            f"Mean latency at {percent}% false cutoffs",
            "ms",
            {name: _latency(corpus, ours, name, found[f"latency_at_{percent}_pct"]) for name, found in best.items()},
            "the least of any setting whose false cutoffs are within",
        )
        for percent in _CUTOFF_BUDGETS
    ]
    rows += [
        _row(
            f"{prefix}.latency_at_{percent}_pct_p50",
            f"Median latency at {percent}% false cutoffs",
            "ms",
            {name: _median(corpus, ours, name, found[f"latency_at_{percent}_pct_p50"]) for name, found in best.items()},
            "the same with the least median",
        )
        for percent in _CUTOFF_BUDGETS
    ]
    return [*rows, *_as_set(corpus, ours, prefix)]


def tuned(settings: Sequence[Setting]) -> dict[str, Setting | None]:
    """Of all settings the best for each tuned figure, by the end of its id."""
    return {
        **{f"cutoffs_at_{budget_ms}": fewest_cutoffs(settings, budget_ms) for budget_ms in _BUDGETS_MS},
        **{f"latency_at_{percent}_pct": least_latency(settings, percent / 100) for percent in _CUTOFF_BUDGETS},
        **{f"latency_at_{percent}_pct_p50": least_median(settings, percent / 100) for percent in _CUTOFF_BUDGETS},
    }


def pareto(corpus: Sequence[ClipPauses], ours: Ours, title: str) -> Plot:
    """What each policy can be tuned to."""
    swept = {OURS: sweep(corpus, ours.scores), SMART_TURN: sweep(corpus, first_score), VAD: sweep_silence(corpus)}
    series = [
        Series(
            name,
            tuple(one.latency_ms for one in frontier(found)),
            tuple(100 * one.cutoff_rate for one in frontier(found)),
        )
        for name, found in swept.items()
    ]
    return Plot(
        title=title,
        x_label="mean latency, ms",
        y_label="false cutoffs, %",
        series=tuple(series),
        style="steps",
        x_limit=2_000,
    )


def _as_set(corpus: Sequence[ClipPauses], ours: Ours, prefix: str) -> list[Row]:
    """The policies with the settings they come with."""
    policies: dict[str, Fire] = {
        **{f"{OURS}, {name}": fire for name, fire in ours.profiles.items()},
        f"{SMART_TURN}, as in Pipecat": pipecat(),
        f"{VAD}, {_VAD_MS} ms": silence_alone(_VAD_MS),
    }
    found = {name: decide(corpus, fire) for name, fire in policies.items()}
    return [
        _row(
            f"{prefix}.set.cutoffs",
            "False cutoffs, as set",
            "%",
            {name: estimate(one.cut, one.hold_clips) for name, one in found.items()},
        ),
        _row(
            f"{prefix}.set.latency_p50",
            "Latency, median, as set",
            "ms",
            {name: quantile(one.latency_ms, 0.5, one.end_clips) for name, one in found.items()},
        ),
        _row(
            f"{prefix}.set.latency_p95",
            "Latency, 95th percentile, as set",
            "ms",
            {name: quantile(one.latency_ms, 0.95, one.end_clips) for name, one in found.items()},
        ),
    ]


def _row(row_id: str, title: str, unit: str, figures: Mapping[str, Estimate | None], note: str = "") -> Row:
    """The first figure, and the others beside it."""
    first, *others = figures.items()
    return Row(id=row_id, title=title, unit=unit, estimate=first[1], beside=dict(others), note=note, better="lower")


def fire_of(setting: Setting, scores: PauseScores) -> Fire:
    """The policy at a place of the grid."""
    return model_and_timeout(scores, setting.threshold, setting.action_delay_ms, setting.timeout_ms)


def _fire(ours: Ours, name: str, setting: Setting) -> Fire:
    return (
        silence_alone(setting.timeout_ms)
        if name == VAD
        else fire_of(setting, ours.scores if name == OURS else first_score)
    )


def _cutoffs(corpus: Sequence[ClipPauses], ours: Ours, name: str, setting: Setting | None) -> Estimate | None:
    if setting is None:
        return None
    decisions = decide(corpus, _fire(ours, name, setting))
    return estimate(decisions.cut, decisions.hold_clips)


def _latency(corpus: Sequence[ClipPauses], ours: Ours, name: str, setting: Setting | None) -> Estimate | None:
    if setting is None:
        return None
    decisions = decide(corpus, _fire(ours, name, setting))
    return estimate(decisions.latency_ms, decisions.end_clips)


def _median(corpus: Sequence[ClipPauses], ours: Ours, name: str, setting: Setting | None) -> Estimate | None:
    if setting is None:
        return None
    decisions = decide(corpus, _fire(ours, name, setting))
    return quantile(decisions.latency_ms, 0.5, decisions.end_clips)


def _fewer(
    corpus: Sequence[ClipPauses], ours: Ours, our_setting: Setting | None, their_setting: Setting | None
) -> Estimate | None:
    if our_setting is None or their_setting is None:
        return None
    first = decide(corpus, _fire(ours, OURS, our_setting))
    second = decide(corpus, _fire(ours, SMART_TURN, their_setting))

    def gone(pairs: Vector) -> float:
        theirs = float(pairs[:, 1].sum())
        return 1 - float(pairs[:, 0].sum()) / theirs if theirs else 0.0

    return estimate(np.stack((first.cut, second.cut), axis=1), first.hold_clips, gone)
