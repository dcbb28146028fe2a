"""What conversations came to, as figures: when turns ended, who yielded to what, what was heard and what was lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from evals.clip import stereo_mp3
from evals.intervals import Estimate, estimate, quantile
from evals.report import Case, Plot, Row, Series, Target
from evals.turns.dialogue import Intent
from evals.turns.outcomes import MISSED_MS, Outcomes, OverlapOutcome
from evals.turns.performance import Performance
from schemas.audio import SESSION_RATE_HZ

TAKES: Final = (Intent.STOP, Intent.INTERRUPT)
LEAVES: Final = (Intent.BACKCHANNEL, Intent.COUGH, Intent.SIDE, Intent.NOISE)
_BEFORE_S: Final = 4.0
_AFTER_S: Final = 5.0
_CASES: Final = 12


def conversation_rows(found: Outcomes, prefix: str) -> list[Row]:
    """Figures of all conversations.

    Args:
        found: Outcomes.
        prefix: Of the rows' ids.
    """
    return [*_turn_rows(found, prefix), *_overlap_rows(found, prefix), *_item_rows(found, prefix)]


def _turn_rows(found: Outcomes, prefix: str) -> list[Row]:
    told = [turn for turn in found.turns if turn.latency_ms is not None]
    latency = [turn.latency_ms or 0.0 for turn in told]
    blocks = [turn.conversation for turn in told]
    hits = [float(one.hit) for one in found.speculations]
    return [
        Row(
            id=f"{prefix}.latency_p50",
            is_headline=True,
            title="Speech end → turn.ended, median",
            unit="ms",
            estimate=quantile(latency, 0.5, blocks),
            target=Target(500, "at most"),
            better="lower",
        ),
        Row(
            id=f"{prefix}.latency_p95",
            title="Speech end → turn.ended, 95th percentile",
            unit="ms",
            estimate=quantile(latency, 0.95, blocks),
            better="lower",
        ),
        Row(
            id=f"{prefix}.cutoffs",
            is_headline=True,
            title="False cutoffs",
            unit="%",
            note="holds of 200 ms and more in which the server ended the turn",
            estimate=estimate([float(hold.cut) for hold in found.holds], [hold.conversation for hold in found.holds]),
            target=Target(0.05, "at most"),
            better="lower",
        ),
        Row(
            id=f"{prefix}.talked_into",
            title="Turns into which the agent began to speak",
            unit="%",
            note="a turn that is reopened in time is cut off, and nobody notices",
            estimate=estimate(
                [float(turn.talked_into) for turn in found.turns], [turn.conversation for turn in found.turns]
            ),
            better="lower",
        ),
        Row(
            id=f"{prefix}.missed",
            title="Missed ends",
            unit="%",
            note=f"no turn.ended within {MISSED_MS / 1000:.0f} s",
            estimate=estimate(
                [float(turn.is_missed) for turn in found.turns], [turn.conversation for turn in found.turns]
            ),
            better="lower",
        ),
        Row(
            id=f"{prefix}.speculation_hits",
            title="Eager ends that were right",
            unit="%",
            note="the rest is work thrown away",
            estimate=estimate(hits, [one.conversation for one in found.speculations]),
            better="higher",
        ),
        Row(
            id=f"{prefix}.false_starts",
            title="Turns that nobody said, in 10 minutes",
            estimate=_rate(found.false_starts, found.minutes / 10),
            better="lower",
        ),
    ]


def _overlap_rows(found: Outcomes, prefix: str) -> list[Row]:
    taken = [one for one in found.overlaps if one.intent in TAKES]
    silent = [(one.silent_ms, one.conversation) for one in taken if one.silent_ms is not None]
    ducked = [(one.ducked_ms, one.conversation) for one in taken if one.ducked_ms is not None]
    resumed = [
        (one.resumed_ms, one.conversation)
        for one in found.overlaps
        if one.intent in LEAVES and one.resumed_ms is not None
    ]
    rows = [
        Row(
            id=f"{prefix}.yield_rate",
            is_headline=True,
            title="Yields to an interruption or a stop-word",
            unit="%",
            estimate=_right(taken),
            target=Target(0.95, "at least"),
            better="higher",
        )
    ]
    targets = {Intent.BACKCHANNEL: Target(0.90, "at least")}
    rows += [
        Row(
            id=f"{prefix}.right.{intent.value}",
            title=f"{'Goes on' if intent in LEAVES else 'Yields'}: {intent.named}",
            unit="%",
            estimate=_right([one for one in found.overlaps if one.intent is intent]),
            target=targets.get(intent),
            is_headline=intent in targets,
            better="higher",
        )
        for intent in (*LEAVES, *TAKES)
    ]
    return [
        *rows,
        _percentile(f"{prefix}.silent_p50", "Onset → agent silent, median", silent, 0.5, 450),
        _percentile(f"{prefix}.silent_p95", "Onset → agent silent, 95th percentile", silent, 0.95, 600),
        _percentile(f"{prefix}.ducked_p95", "Onset → agent quieter, 95th percentile", ducked, 0.95, None),
        _percentile(f"{prefix}.resumed_p50", "Agent silent → goes on, median", resumed, 0.5, None),
    ]


def _item_rows(found: Outcomes, prefix: str) -> list[Row]:
    paused = [item for item in found.items if item.was_paused]
    errors = [
        (float(abs(item.heard_words_error)), item.conversation)
        for item in found.items
        if item.heard_words_error is not None
    ]
    return [
        Row(
            id=f"{prefix}.lost_ms",
            title="Unique audio lost, most of any item",
            unit="ms",
            estimate=_most([(item.lost_ms, item.conversation) for item in found.items]),
            hard_zero=True,
        ),
        _percentile(
            f"{prefix}.replayed_p95",
            "Audio said twice by an item that was paused, 95th percentile",
            [(item.replayed_ms, item.conversation) for item in paused],
            0.95,
            None,
        ),
        Row(
            id=f"{prefix}.heard_error_p95",
            is_headline=True,
            title="Error of heard_text, 95th percentile",
            unit="words",
            estimate=quantile([error for error, _ in errors], 0.95, [block for _, block in errors]),
            target=Target(1.0, "at most"),
            better="lower",
        ),
    ]


def latency_plot(named: Sequence[tuple[str, Sequence[float]]], title: str) -> Plot:
    """How latencies are distributed."""
    return Plot(
        title=title,
        x_label="ms",
        y_label="share of turns",
        series=tuple(Series(name, tuple(values), ()) for name, values in named if values),
        style="ecdf",
        x_limit=3_000,
    )


def class_plot(found: Outcomes, title: str) -> Plot:
    """How often the agent did what each kind of sound over it asked for."""
    intents = [intent for intent in (*TAKES, *LEAVES) if any(one.intent is intent for one in found.overlaps)]
    rates = [_right([one for one in found.overlaps if one.intent is intent]) for intent in intents]
    known = [rate for rate in rates if rate is not None]
    return Plot(
        title=title,
        x_label="",
        y_label="right, %",
        series=(
            Series(
                "right",
                tuple(float(place) for place in range(len(known))),
                tuple(100 * rate.value for rate in known),
                tuple(100 * rate.low for rate in known),
                tuple(100 * rate.high for rate in known),
            ),
        ),
        style="bars",
        labels=tuple(f"{intent.named}\n{'yields' if intent in TAKES else 'goes on'}" for intent in intents),
    )


def worst_cases(performances: Sequence[Performance], found: Outcomes) -> tuple[Case, ...]:
    """What went wrong, to be listened to; the worst first."""
    places: list[tuple[str, str, int, int]] = []
    for one in found.overlaps:
        if not one.is_right:
            what = "went on" if one.intent.takes_floor else "stopped"
            places.append((f"The agent {what}: {one.intent.named}", one.text, one.conversation, one.start_samples))
    slow = sorted(found.turns, key=lambda turn: turn.latency_ms or math.inf, reverse=True)
    for number, one in enumerate(performances):
        for at in one.received:
            early = at.event.type == "turn.ended" and any(
                hold.start_samples <= at.clock_samples <= hold.end_samples for u in one.utterances for hold in u.holds
            )
            if early:
                places.append(("The turn was cut off", at.event.text, number, at.clock_samples))
    for turn in slow[:3]:
        late = "never ended" if turn.latency_ms is None else f"ended after {turn.latency_ms:.0f} ms"
        places.append((f"The turn {late}", turn.text, turn.conversation, turn.end_samples))
    cases: list[Case] = []
    for title, text, number, at_samples in places[:_CASES]:
        one = performances[number]
        if one.microphone is None or one.loudspeaker is None:
            continue
        begin = max(0, at_samples - round(_BEFORE_S * SESSION_RATE_HZ))
        end = at_samples + round(_AFTER_S * SESSION_RATE_HZ)
        mp3 = stereo_mp3(one.microphone[begin:end], one.loudspeaker[begin:end])
        cases.append(Case(title=title, text=f"“{text}” ({one.name}, {one.voice}, {one.channel})", mp3=mp3))
    return tuple(cases)


def _right(overlaps: Sequence[OverlapOutcome]) -> Estimate | None:
    return estimate([float(one.is_right) for one in overlaps], [one.conversation for one in overlaps])


def _percentile(
    row_id: str, title: str, values: Sequence[tuple[float, int]], q: float, at_most_ms: float | None
) -> Row:
    return Row(
        id=row_id,
        title=title,
        unit="ms",
        estimate=quantile([value for value, _ in values], q, [block for _, block in values]),
        target=Target(at_most_ms, "at most") if at_most_ms is not None else None,
        better="lower",
    )


def _most(values: Sequence[tuple[float, int]]) -> Estimate | None:
    return estimate([value for value, _ in values], [block for _, block in values], lambda sample: float(sample.max()))


def _rate(count: int, units: float) -> Estimate | None:
    """A count of rare things: Poisson's interval, by the usual approximation of its quantiles."""
    if not units:
        return None
    spread = 1.96 * math.sqrt(count + 1)
    return Estimate(count / units, max(0.0, count - spread) / units, (count + 1 + spread) / units, count)
