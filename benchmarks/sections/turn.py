"""From the end of speech to the final transcript, as a conversation feels it.

Recordings are spoken into a session in real time, 20 ms a frame; the turn ends after 200 ms of silence. The clock
starts when the last speech sample has been sent, by an annotation of the file that the server knows nothing of.
"""

from __future__ import annotations

from itertools import cycle, islice

from benchmarks import intervals
from benchmarks.accuracy import wer_percent
from benchmarks.antiphon_server import antiphon
from benchmarks.bench import Bench
from benchmarks.clips import SHORT_S, utterances
from benchmarks.report import Plot, Row, Series
from benchmarks.sections.result import Result
from benchmarks.turn_client import Turn, paced_turn

STOP_MS = 200
_TURNS = 24


async def run(bench: Bench, result: Result) -> None:
    """One session after the other."""
    clips = tuple(islice(cycle(utterances(max_s=SHORT_S)), round(bench.scaled(_TURNS, 3))))
    async with antiphon(bench) as server:
        bench.say("a first turn, which is not counted")
        await paced_turn(server.port, clips[0], silence_ms=STOP_MS)
        turns: list[Turn] = []
        for number, clip in enumerate(clips, 1):
            bench.say(f"turn {number} of {len(clips)}, in real time")
            turns.append(await paced_turn(server.port, clip, silence_ms=STOP_MS))
    times_s = [turn.took_s for turn in turns]
    decided = intervals.median([turn.decided_s for turn in turns])
    details = {
        "stop": f"{STOP_MS} ms",
        "the server says that the user has stopped, after": f"{1000 * decided.value:.0f} ms",
        "WER": f"{wer_percent(clips, [turn.text for turn in turns]):.1f} %",
        "latest frame of the load generator": f"{1000 * max(turn.late_s for turn in turns):.1f} ms",
        "end of speech": "Silero VAD over the whole file, threshold 0.5",
    }
    for name, q in (("p50", 0.5), ("p95", 0.95)):
        found = intervals.quantile(times_s, q)
        result.rows.append(
            Row(
                id=f"turn.{name}",
                title=f"Speech end → final transcript, {name}",
                unit="ms",
                estimate=found.scaled(1000),
                details=details,
                commands=(server.command,),
            )
        )
    result.plots.append(
        Plot(
            title="Speech end → final transcript",
            x_label="ms",
            y_label="share of turns",
            series=(Series("turns", (), tuple(1000 * one for one in times_s)),),
            style="ecdf",
        )
    )
