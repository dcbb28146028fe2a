"""What a run of ``antiphon eval tts`` comes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from evals.asr.words import Scored, normalised, score
from evals.intervals import Estimate, estimate, quantile, ratio, ratio_change
from evals.report import Measured, Plot, Row, Series, Table, Target
from evals.runner import Failure
from evals.samples import Ratio, Sample
from evals.targets.base import Heard
from evals.tts.listening import GAP_S
from evals.tts.measure import READ, Reading, Rendition
from evals.tts.opinions import Likeness, Scores
from evals.tts.texts import KINDS

AREA: Final = "tts"
PROXY: Final = "A model's opinion in place of people's: it tells versions apart, and proves nothing alone."
_NONE: Final = Target(0, "at most")


class Opinions(Struct, frozen=True, kw_only=True):
    """What models say."""

    dnsmos: Scores
    distillmos: Scores
    likeness: Likeness


def is_read_well(reading: Reading) -> bool | None:
    """Whether what is difficult in a text was understood; ``None`` of others, and where nothing was heard."""
    task, heard = reading.task, reading.heard
    if not task.shows or not isinstance(heard, Heard):
        return None
    there = f" {normalised(heard.text, task.language)} "
    return any(f" {normalised(form, task.language)} " in there for form in (*task.shows, task.text))


def errors_of(reading: Reading) -> Scored | None:
    """Words of a text that people have read, too, and that did not come back; ``None`` of other texts."""
    if reading.task.kind != READ or not isinstance(reading.heard, Heard):
        return None
    return score(reading.task.text, reading.heard.text, reading.task.language)


def floor_of(reading: Reading) -> Scored | None:
    """The same of the person who read it."""
    if not isinstance(reading.floor, Heard):
        return None
    return score(reading.task.text, reading.floor.text, reading.task.language)


def rows(readings: Sequence[Reading], opinions: Opinions, listener: str) -> list[Row]:
    """All figures.

    Args:
        readings: What was spoken.
        opinions: What models say of it.
        listener: Name of the recogniser.
    """
    return [
        *_round_trip(readings, listener),
        *_pronunciation(readings),
        *_opinions(readings, opinions),
        *_arrival(readings),
    ]


def _round_trip(readings: Sequence[Reading], listener: str) -> list[Row]:
    pairs = [
        (one, errors, floor)
        for one in readings
        if (errors := errors_of(one)) is not None and (floor := floor_of(one)) is not None
    ]
    blocks = [_block(one) for one, _, _ in pairs]
    spoken = ([errors.errors for _, errors, _ in pairs], [errors.units for _, errors, _ in pairs])
    floor = ([errors.errors for _, _, errors in pairs], [errors.units for _, _, errors in pairs])
    change = ratio_change(floor, spoken, blocks)
    return [
        Row(
            id=f"{AREA}.wer",
            is_headline=True,
            title="Round trip: words that do not come back",
            unit="%",
            estimate=ratio(*spoken, blocks),
            better="lower",
            beside={
                "people reading the same": ratio(*floor, blocks),
                "more than of people": change.change if change else None,
            },
            note=f"As {listener} understood it.",
        )
    ]


def _pronunciation(readings: Sequence[Reading]) -> list[Row]:
    found = [(one, wrong) for one in readings if (wrong := _misread(one)) is not None]
    by_kind = {kind: estimate([wrong for one, wrong in found if one.task.kind == kind]) for kind in KINDS}
    return [
        Row(
            id=f"{AREA}.misread",
            is_headline=True,
            title="Sentences with numbers, dates, units or names that were read wrongly",
            unit="%",
            estimate=estimate([wrong for _, wrong in found]),
            better="lower",
            beside={f"{kind}s": value for kind, value in by_kind.items()},
            note="Or read well and not understood: some of the names are hard to spell by ear.",
        )
    ]


def _opinions(readings: Sequence[Reading], opinions: Opinions) -> list[Row]:
    blocks = {one.task.id: number for number, one in enumerate(readings)}
    found: list[Row] = []
    for name, title, scores in (
        ("dnsmos", "DNSMOS P.835, overall (proxy, 1 to 5)", opinions.dnsmos),
        ("distillmos", "DistillMOS (proxy, 1 to 5)", opinions.distillmos),
    ):
        found.append(
            Row(
                id=f"{AREA}.{name}",
                title=title,
                estimate=estimate(list(scores.spoken.values()), [blocks[task] for task in scores.spoken]),
                better="higher",
                beside={} if scores.missing else {"people reading": estimate(list(scores.recorded.values()))},
                note=_missing(scores.missing) or PROXY,
            )
        )
    like = opinions.likeness
    found.append(
        Row(
            id=f"{AREA}.similarity",
            title="Speaker similarity: a sentence and the others of its voice (cosine)",
            estimate=estimate(list(like.spoken.values())),
            better="higher",
            beside={}
            if like.missing
            else {"one person": estimate(like.recorded), "two voices": estimate(like.strangers)},
            note=_missing(like.missing) or "By Resemblyzer's encoder.",
        )
    )
    return found


def _missing(packages: str) -> str:
    return f"Not measured. Run: {packages}" if packages else ""


def _arrival(readings: Sequence[Reading]) -> list[Row]:
    spoken = [one.spoken for one in readings if isinstance(one.spoken, Rendition)]
    first_ms = [1000 * one.first_s for one in spoken]
    speeds = [one.audio_s / one.took_s for one in spoken if one.took_s > 0]
    gaps = [gap for one in spoken for gap in one.gaps_s]
    failed = len(readings) - len(spoken)
    unheard = sum(isinstance(one.heard, Failure) for one in readings)
    return [
        Row(
            id=f"{AREA}.first_audio_p50",
            is_headline=True,
            title="First audio, median",
            unit="ms",
            estimate=quantile(first_ms, 0.5),
            better="lower",
        ),
        Row(
            id=f"{AREA}.first_audio_p95",
            title="First audio, 95th percentile",
            unit="ms",
            estimate=quantile(first_ms, 0.95),
            better="lower",
        ),
        Row(
            id=f"{AREA}.rtfx",
            title="Times as fast as speech, over all",
            unit="×",
            estimate=ratio([one.audio_s for one in spoken], [one.took_s for one in spoken], range(len(spoken))),
            better="higher",
            beside={"median": quantile(speeds, 0.5), "slowest twentieth": quantile(speeds, 0.05)},
        ),
        Row(
            id=f"{AREA}.gaps",
            title=f"Sentences with a gap of more than {1000 * GAP_S:.0f} ms",
            unit="%",
            estimate=estimate([float(bool(one.gaps_s)) for one in spoken]),
            target=_NONE,
            better="lower",
            note="For a listener who plays from the first sound on, with nothing held back."
            + (f" The longest: {1000 * max(gaps):.0f} ms." if gaps else ""),
        ),
        Row(
            id=f"{AREA}.clipping",
            title="Sentences that are clipped somewhere",
            unit="%",
            estimate=estimate([float(one.clipped > 0) for one in spoken]),
            target=_NONE,
            better="lower",
        ),
        Row(
            id=f"{AREA}.failures",
            title="Sentences that were not spoken",
            unit="%",
            estimate=estimate([1.0] * failed + [0.0] * len(spoken)),
            hard_zero=True,
        ),
        Row(
            id=f"{AREA}.unheard",
            title="Sentences that the listener failed on",
            estimate=Estimate(unheard, unheard, unheard, len(spoken)),
            hard_zero=True,
        ),
    ]


def tables(readings: Sequence[Reading]) -> tuple[Table, ...]:
    """Figures by language."""
    lines: list[tuple[str | float | Measured, ...]] = []
    for language in dict.fromkeys(one.task.language for one in readings):
        these = [one for one in readings if one.task.language == language]
        lines.append(
            (
                language,
                these[0].task.voice or "default",
                Measured(_rate(these, errors_of), "%"),
                Measured(_rate(these, floor_of), "%"),
                *(
                    Measured(
                        estimate(
                            [wrong for one in these if one.task.kind == kind and (wrong := _misread(one)) is not None]
                        ),
                        "%",
                    )
                    for kind in KINDS
                ),
                Measured(
                    quantile([1000 * one.spoken.first_s for one in these if isinstance(one.spoken, Rendition)], 0.5),
                    "ms",
                ),
            )
        )
    return (
        Table(
            title="By language",
            head=("language", "voice", "round trip", "people", *(f"{kind}s misread" for kind in KINDS), "first audio"),
            rows=tuple(lines),
        ),
    )


def plots(readings: Sequence[Reading]) -> tuple[Plot, ...]:
    """Distributions, and what is read wrongly."""
    spoken = [(one.task.language, one.spoken) for one in readings if isinstance(one.spoken, Rendition)]
    languages = tuple(dict.fromkeys(language for language, _ in spoken))

    def by_language(value: Callable[[Rendition], float]) -> tuple[Series, ...]:
        return tuple(
            Series(language, tuple(sorted(value(one) for at, one in spoken if at == language)))
            for language in languages
        )

    rates = [
        (kind, estimate([w for o in readings if o.task.kind == kind and (w := _misread(o)) is not None]))
        for kind in KINDS
    ]
    known = [(kind, rate) for kind, rate in rates if rate is not None]
    return (
        Plot(
            title="Speech: first audio",
            x_label="ms",
            y_label="share of sentences",
            style="ecdf",
            series=by_language(lambda one: 1000 * one.first_s),
        ),
        Plot(
            title="Speech: times as fast as it is heard",
            x_label="×",
            y_label="share of sentences",
            style="ecdf",
            series=by_language(lambda one: one.audio_s / max(one.took_s, 1e-6)),
        ),
        Plot(
            title="Speech: what is read wrongly",
            x_label="",
            y_label="% of sentences",
            style="bars",
            labels=tuple(f"{kind}s" for kind, _ in known),
            series=(
                Series(
                    "read wrongly",
                    tuple(map(float, range(len(known)))),
                    tuple(100 * rate.value for _, rate in known),
                    tuple(100 * rate.low for _, rate in known),
                    tuple(100 * rate.high for _, rate in known),
                ),
            ),
        ),
    )


def samples(readings: Sequence[Reading], opinions: Opinions) -> list[Sample]:
    """For comparisons of two runs."""
    found: list[Sample] = []
    for one in readings:
        task = one.task
        sample = Sample(
            area=AREA,
            id=task.id,
            block=_block(one),
            group={"language": task.language, "kind": task.kind, "voice": task.voice},
            reference=task.text,
            hypothesis=one.heard.text if isinstance(one.heard, Heard) else "",
        )
        if isinstance(one.spoken, Failure):
            found.append(replace(sample, error=one.spoken.message))
            continue
        ratios = {f"{AREA}.{name}": Ratio(part, 1) for name, part in _shares(one, one.spoken).items()}
        if (errors := errors_of(one)) is not None:
            ratios[f"{AREA}.wer"] = Ratio(errors.errors, errors.units)
        ratios[f"{AREA}.rtfx"] = Ratio(one.spoken.audio_s, one.spoken.took_s)
        for name, scores in (
            ("dnsmos", opinions.dnsmos.spoken),
            ("distillmos", opinions.distillmos.spoken),
            ("similarity", opinions.likeness.spoken),
        ):
            if task.id in scores:
                ratios[f"{AREA}.{name}"] = Ratio(scores[task.id], 1)
        values = {f"{AREA}.first_audio": 1000 * one.spoken.first_s}
        error = one.heard.message if isinstance(one.heard, Failure) else ""
        found.append(replace(sample, ratios=ratios, values=values, error=error))
    return found


def _shares(one: Reading, spoken: Rendition) -> dict[str, float]:
    found = {"gaps": float(bool(spoken.gaps_s)), "clipping": float(spoken.clipped > 0)}
    if (wrong := _misread(one)) is not None:
        found["misread"] = wrong
    return found


def _misread(one: Reading) -> float | None:
    well = is_read_well(one)
    return None if well is None else float(not well)


def _rate(readings: Sequence[Reading], count: Callable[[Reading], Scored | None]) -> Estimate | None:
    found = [(one, errors) for one in readings if (errors := count(one)) is not None]
    return ratio([e.errors for _, e in found], [e.units for _, e in found], [_block(one) for one, _ in found])


def _block(one: Reading) -> str:
    """Texts are drawn, one by one: the voice is the same for all."""
    return one.task.id
