"""Recognition without a server: Antiphon's engine against faster-whisper's own ``WhisperModel.transcribe``.

Both have the same weights, compute type, beam, recordings and cores: the one gives all cores to one clip after the
other, the other divides them. Sides take turns, and which of them begins alternates.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from benchmarks import intervals
from benchmarks.accuracy import wer_percent, word_errors
from benchmarks.bench import Bench
from benchmarks.clips import SHORT_S, Clip, utterances
from benchmarks.engine_side import Answer
from benchmarks.report import Plot, Row, Series
from benchmarks.sections.result import Result
from benchmarks.side_process import Side, side

BEAMS: Final = {"greedy": 1, "beam5": 5}
_WORDS: Final = {"greedy": "greedy", "beam5": "beam 5", "trimmed": "trimmed window", "exact": "whole window"}


class Times(Struct):
    """Walls of one comparison, pair by pair."""

    ours_s: list[float]
    theirs_s: list[float]
    clips: list[Clip]
    our_texts: list[str]
    their_texts: list[str]


async def run(bench: Bench, result: Result) -> None:
    """Throughput at 1 and 8 clips, and word error rates over all recordings."""
    async with side(bench, "serial") as serial, side(bench, "host") as host:
        commands = (host.command, serial.command)
        for beam in BEAMS:
            for count in (8, 1):
                bench.say(f"throughput, {_WORDS[beam]}, N = {count}")
                await _throughput(bench, result, host, serial, beam, count)
            bench.say(f"word error rates, {_WORDS[beam]}")
            await _accuracy(bench, result, host, serial, beam)
        result.rows[:] = [replace(row, commands=commands) for row in result.rows]


async def _throughput(bench: Bench, result: Result, host: Side, serial: Side, beam: str, count: int) -> None:
    clips = cycle(utterances(max_s=SHORT_S))
    found = {mode: Times([], [], [], [], []) for mode in ("trimmed", "exact")}
    for pair in range(bench.pairs):
        chosen = tuple(islice(clips, count))
        theirs = None
        order = ("serial", "trimmed", "exact") if pair % 2 else ("exact", "trimmed", "serial")
        ours: dict[str, Answer] = {}
        for who in order:
            if who == "serial":
                theirs = await serial.recognise(chosen, beam=BEAMS[beam])
            else:
                ours[who] = await host.recognise(chosen, beam=BEAMS[beam], trimmed=who == "trimmed")
        assert theirs is not None
        for mode, times in found.items():
            times.ours_s.append(ours[mode].wall_s)
            times.theirs_s.append(theirs.wall_s)
            times.clips += chosen
            times.our_texts += ours[mode].texts
            times.their_texts += theirs.texts
    for mode, times in found.items():
        result.rows.append(_speed_row(mode, beam, count, times))
    ratios = [
        Series(
            _WORDS[mode],
            tuple(range(1, bench.pairs + 1)),
            tuple(b / a for a, b in zip(times.ours_s, times.theirs_s, strict=True)),
        )
        for mode, times in found.items()
    ]
    result.plots.append(
        Plot(
            title=f"How many times faster than serial WhisperModel.transcribe, {_WORDS[beam]}, N = {count}",
            x_label="pair",
            y_label="×",
            series=tuple(ratios),
            style="points",
            bound=4 if count > 1 else 0.97,
        )
    )


def _speed_row(mode: str, beam: str, count: int, times: Times) -> Row:
    ours, theirs = intervals.median(times.ours_s), intervals.median(times.theirs_s)
    return Row(
        id=f"asr.{mode}.{beam}.n{count}",
        title=f"Throughput over serial faster-whisper, {_WORDS[mode]}, {_WORDS[beam]}, N = {count}",
        unit="×",
        estimate=intervals.ratio_of_medians(times.theirs_s, times.ours_s),
        details={
            "ours": f"{1000 * ours.value:.0f} ms",
            "serial": f"{1000 * theirs.value:.0f} ms",
            "WER of these clips, ours": f"{wer_percent(times.clips, times.our_texts):.1f} %",
            "WER, serial": f"{wer_percent(times.clips, times.their_texts):.1f} %",
        },
    )


async def _accuracy(bench: Bench, result: Result, host: Side, serial: Side, beam: str) -> None:
    clips = utterances()[: 8 if bench.quick else None]
    # Texts do not depend on what else is recognised at the time: here nothing is timed, so both work at once.
    trimmed = (await host.recognise(clips, beam=BEAMS[beam], trimmed=True)).texts
    exact = (await host.recognise(clips, beam=BEAMS[beam])).texts
    theirs = (await serial.recognise(clips, beam=BEAMS[beam])).texts
    base = [word_errors(clip, text) for clip, text in zip(clips, theirs, strict=True)]
    for mode, texts in (("trimmed", trimmed), ("exact", exact)):
        counts = [word_errors(clip, text) for clip, text in zip(clips, texts, strict=True)]
        result.rows.append(
            Row(
                id=f"asr.{mode}.{beam}.wer",
                title=f"Word error rate over that of serial faster-whisper, {_WORDS[mode]}, {_WORDS[beam]}",
                unit="points",
                estimate=intervals.difference_of_rates(
                    [count.errors for count in counts],
                    [count.errors for count in base],
                    [count.words for count in base],
                ),
                details={
                    "ours": f"{wer_percent(clips, texts):.2f} %",
                    "serial": f"{wer_percent(clips, theirs):.2f} %",
                    "recordings": str(len(clips)),
                    "by language": _by_language(clips, texts, theirs),
                },
            )
        )


def _by_language(clips: Sequence[Clip], ours: Sequence[str], theirs: Sequence[str]) -> str:
    parts: list[str] = []
    for language in sorted({clip.language for clip in clips}):
        numbers = [number for number, clip in enumerate(clips) if clip.language == language]
        chosen = [clips[number] for number in numbers]
        rates = (wer_percent(chosen, [texts[number] for number in numbers]) for texts in (ours, theirs))
        parts.append(f"{language} {next(rates):.1f} ({next(rates):.1f})")
    return ", ".join(parts)
