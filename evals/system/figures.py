"""What a run of ``antiphon eval system`` comes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct

from evals.intervals import Estimate, estimate, exactly, quantile, ratio
from evals.report import Measured, Plot, Row, Series, Table, Target
from evals.samples import Ratio, Sample
from evals.system.load import Answer, Capacity

AREA: Final = "system"
_QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_KEPT_AT_LEAST: Final = Target(0.9, "at least")
"""Of the goodput at capacity, at twice the load: a server that is full refuses, and does not collapse."""
_ALL: Final = Target(1.0, "at least")
_REFUSED_WITHIN_MS: Final = Target(100, "at most")


class Level(Struct, frozen=True, kw_only=True):
    """One load, and how it was borne."""

    load: float
    """Of the capacity."""
    per_s: float
    """Requests offered."""
    for_s: float
    answers: tuple[Answer, ...]
    memory_mb: tuple[float, ...] = ()


class Isolation(Struct, frozen=True, kw_only=True):
    """What became of the canaries."""

    leaked: tuple[str, ...]
    """In words, one each."""
    pairs: int
    """A word and a place where it should not be."""
    failed: tuple[str, ...] = ()
    """What the server said instead, once for each that came to nothing."""
    recognised: tuple[bool, ...]
    """Whether each was understood where it was said: words that are not would not be seen elsewhere either."""


class Resumption(Struct, frozen=True, kw_only=True):
    """What became of streams that were cut."""

    cuts: int
    mismatches: tuple[str, ...]
    """In words."""
    failed: tuple[str, ...] = ()
    """Sessions that came to nothing, and why."""


def load_rows(levels: Sequence[Level], capacity: Capacity, slo_s: float) -> list[Row]:
    """Figures of load.

    Args:
        levels: Rising.
        capacity: What callers who wait for their answers get.
        slo_s: In which a request should be served.
    """
    everything = [one for level in levels for one in level.answers]
    refused = [one for one in everything if one.is_shed]
    failed = sum(not one.is_served and not one.is_shed for one in everything)
    rows = [
        Row(
            id=f"{AREA}.capacity",
            is_headline=True,
            title="Capacity: requests that callers get who wait for each answer",
            unit="/s",
            estimate=ratio(capacity.done, [capacity.window_s] * len(capacity.done), range(len(capacity.done))),
            better="higher",
            note="Half of them recordings, half texts to speak. It is what the loads below are shares of.",
        )
    ]
    for level in levels:
        served = [1000 * one.latency_s for one in level.answers if one.is_served]
        name = _name(level)
        rows += [
            Row(
                id=f"{name}.goodput",
                title=f"Goodput at {level.load:g}× of capacity",
                unit="/s",
                estimate=_goodput(level, slo_s),
                better="higher",
                beside={"offered": _constant(level.per_s, len(level.answers))},
                note=f"Served within {slo_s:g} s: the text of a recording, the first sound of a text.",
            ),
            Row(
                id=f"{name}.in_time",
                title=f"Served in time at {level.load:g}×",
                unit="%",
                estimate=exactly(sum(one.meets(slo_s) for one in level.answers), len(level.answers)),
                better="higher",
            ),
            Row(
                id=f"{name}.latency_p95",
                title=f"Latency at {level.load:g}×, 95th percentile, of those served",
                unit="ms",
                estimate=quantile(served, 0.95),
                better="lower",
                beside={quantile_name: quantile(served, q) for quantile_name, q in _QUANTILES.items() if q != 0.95},  # noqa: PLR2004
            ),
            Row(
                id=f"{name}.shed",
                title=f"Refused at {level.load:g}×",
                unit="%",
                estimate=exactly(sum(one.is_shed for one in level.answers), len(level.answers)),
            ),
        ]
    rows += [
        Row(
            id=f"{AREA}.goodput_kept",
            is_headline=True,
            title=f"Goodput at {levels[-1].load:g}× over that at 1×",
            unit="%",
            estimate=_kept(levels, slo_s),
            better="higher",
            target=_KEPT_AT_LEAST,
        ),
        Row(
            id=f"{AREA}.retry_after",
            title="Refusals that say when to come again",
            unit="%",
            estimate=exactly(sum(one.retry_after_s is not None for one in refused), len(refused)),
            target=_ALL,
        ),
        Row(
            id=f"{AREA}.refused_p99",
            title="Time to a refusal, 99th percentile",
            unit="ms",
            estimate=quantile([1000 * one.latency_s for one in refused], 0.99),
            target=_REFUSED_WITHIN_MS,
        ),
        Row(
            id=f"{AREA}.errors",
            title="Requests that failed, other than refused",
            unit="%",
            estimate=exactly(failed, len(everything)),
            hard_zero=True,
        ),
    ]
    return rows


def load_tables(levels: Sequence[Level], slo_s: float) -> tuple[Table, ...]:
    """Load by level."""
    lines = tuple(
        (
            f"{level.load:g}×",
            float(len(level.answers)),
            Measured(_goodput(level, slo_s), "/s"),
            *(
                Measured(quantile([1000 * one.latency_s for one in level.answers if one.is_served], q), "ms")
                for q in _QUANTILES.values()
            ),
            Measured(exactly(sum(one.is_shed for one in level.answers), len(level.answers)), "%"),
        )
        for level in levels
    )
    return (Table(title="Load", head=("load", "requests", "goodput", *_QUANTILES, "refused"), rows=lines),)


def load_plots(levels: Sequence[Level], slo_s: float) -> tuple[Plot, ...]:
    """Goodput and latency over load."""
    x = tuple(level.load for level in levels)
    goodput = [(level.load, found) for level in levels if (found := _goodput(level, slo_s)) is not None]
    latencies: list[Series] = []
    for name, q in _QUANTILES.items():
        found = [
            (level.load, one)
            for level in levels
            if (one := quantile([1000 * a.latency_s for a in level.answers if a.is_served], q)) is not None
        ]
        latencies.append(Series(name, *_columns(found)))
    memory = Series(
        "highest",
        tuple(level.load for level in levels if level.memory_mb),
        tuple(max(level.memory_mb) for level in levels if level.memory_mb),
    )
    return (
        Plot(
            title=f"Load: served within {slo_s:g} s",
            x_label="load, × of capacity",
            y_label="requests/s",
            style="line",
            series=(
                Series("goodput", *_columns(goodput)),
                Series("offered", x, tuple(level.per_s for level in levels)),
            ),
        ),
        Plot(
            title="Load: latency of those served",
            x_label="load, × of capacity",
            y_label="ms",
            style="line",
            series=tuple(latencies),
        ),
        *(
            (Plot(title="Load: memory", x_label="load, × of capacity", y_label="MB", style="line", series=(memory,)),)
            if memory.x
            else ()
        ),
    )


def memory_rows(levels: Sequence[Level], at_rest_mb: float | None) -> list[Row]:
    """Memory, where it can be seen."""
    seen = [mb for level in levels for mb in level.memory_mb]
    note = "" if at_rest_mb is not None else "Not measured: the server is no process of this run."
    return [
        Row(
            id=f"{AREA}.memory_peak",
            title="Memory under load, highest",
            unit="MB",
            estimate=estimate(seen, statistic=lambda sample: float(np.max(sample))),
            better="lower",
            beside={} if at_rest_mb is None else {"before": _constant(at_rest_mb, 1)},
            note=note or "Of the server and its workers (PSS).",
        )
    ]


def cold_start_rows(ready_s: Sequence[float]) -> list[Row]:
    """How long a start takes."""
    return [
        Row(
            id=f"{AREA}.cold_start",
            title="Cold start: from the command to ready, models loaded",
            unit="s",
            estimate=estimate(ready_s),
            better="lower",
            note="" if ready_s else "Not measured: the server runs already.",
        )
    ]


def isolation_rows(name: str, title: str, found: Isolation | None) -> list[Row]:
    """Leaks, and whether there was anything to leak.

    Args:
        name: As in ``system.NAME``.
        title: As in ``Words of one session in another``.
        found: ``None`` if the target has no such thing.
    """
    if found is None:
        missing = "Not measured: only an Antiphon has sessions."
        return [Row(id=f"{AREA}.{name}", title=title, unit="%", hard_zero=True, note=missing)]
    return [
        Row(
            id=f"{AREA}.{name}",
            is_headline=True,
            title=title,
            unit="%",
            estimate=exactly(len(found.leaked), found.pairs),
            hard_zero=True,
            beside={"understood where it was said": exactly(sum(found.recognised), len(found.recognised))},
            note="; ".join(found.leaked),
        ),
        _failed(name, found.failed, len(found.failed) + len(found.recognised)),
    ]


def resumption_rows(found: Resumption | None) -> list[Row]:
    """Whether a client that comes back sees what it would have seen."""
    mismatches = 0 if found is None else min(len(found.mismatches), found.cuts)
    failed = [] if found is None else [_failed("resume", found.failed, found.cuts)]
    return [
        Row(
            id=f"{AREA}.resume_mismatches",
            title="Streams of events that were cut and are not the same when joined",
            unit="%",
            estimate=None if found is None else exactly(mismatches, found.cuts),
            hard_zero=True,
            note="Not measured: only an Antiphon has sessions." if found is None else "; ".join(found.mismatches),
        ),
        *failed,
    ]


def _failed(name: str, failed: Sequence[str], of: int) -> Row:
    """What could not be looked at, since the server failed."""
    return Row(
        id=f"{AREA}.{name}_failed",
        title="… that failed meanwhile",
        estimate=_constant(len(failed), of),
        hard_zero=True,
        note="; ".join(dict.fromkeys(failed)),
    )


def samples(levels: Sequence[Level], capacity: Capacity) -> list[Sample]:
    """For comparisons of two runs: of capacity.

    Loads are shares of it, so that those of two runs are not the same; their requests are there to be looked at.
    """
    windows = [
        Sample(
            area=AREA,
            id=f"capacity {number:02}",
            block=f"capacity {number}",
            ratios={f"{AREA}.capacity": Ratio(done, capacity.window_s)},
            is_paired=False,
        )
        for number, done in enumerate(capacity.done)
    ]
    requests = [
        Sample(
            area=AREA,
            id=f"load {level.load:g} {number:05}",
            block=f"{level.load:g} {number}",
            group={"load": f"{level.load:g}"},
            values={f"{_name(level)}.latency": 1000 * one.latency_s} if one.is_served else {},
            is_paired=False,
            error="" if one.is_served else one.code,
        )
        for level in levels
        for number, one in enumerate(level.answers)
    ]
    return [*windows, *requests]


def _name(level: Level) -> str:
    return f"{AREA}.load_{f'{level.load:g}'.replace('.', '_')}"


def _goodput(level: Level, slo_s: float) -> Estimate | None:
    share = exactly(sum(one.meets(slo_s) for one in level.answers), len(level.answers))
    if share is None:
        return None
    per_s = len(level.answers) / level.for_s
    return Estimate(share.value * per_s, share.low * per_s, share.high * per_s, share.n)


def _kept(levels: Sequence[Level], slo_s: float) -> Estimate | None:
    """The ratio of two goodputs, by drawing the requests of each again."""
    at_one = next((level for level in levels if level.load == 1.0), None)
    last = levels[-1]
    if at_one is None or at_one is last or not at_one.answers or not last.answers:
        return None
    rows = [[0.0, one.meets(slo_s)] for one in at_one.answers] + [[1.0, one.meets(slo_s)] for one in last.answers]

    def kept(sample: Any) -> float:  # noqa: ANN401  (n, 2)
        met = [float(sample[sample[:, 0] == side, 1].sum()) for side in (0.0, 1.0)]
        return met[1] / last.for_s / max(met[0] / at_one.for_s, 1e-9)

    return estimate(np.array(rows, np.float64), statistic=kept)


def _constant(value: float, n: int) -> Estimate:
    return Estimate(value, value, value, n)


def _columns(found: Sequence[tuple[float, Estimate]]) -> tuple[tuple[float, ...], ...]:
    return (
        tuple(x for x, _ in found),
        tuple(one.value for _, one in found),
        tuple(one.low for _, one in found),
        tuple(one.high for _, one in found),
    )
