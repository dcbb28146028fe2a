"""What the server adds to the engine, in ``POST /v1/audio/transcriptions``: upload, decoding, scheduling, the answer.

Of one clip at once it is what the request took less what its own engine call took, which the server counts, with the
way to a thread and back: an engine call of most of a second differs by more from the next than a server adds to it.
Eight at once are run a second time in a process that has the engine and no server, with the same options on the same
cores, and so is the one, to see whether the engine is slower where a server is.
"""

from __future__ import annotations

import time
from itertools import cycle, islice
from typing import Final

import anyio
from msgspec import Struct, field

from benchmarks import intervals
from benchmarks.antiphon_server import antiphon, metrics, total_of
from benchmarks.bench import Bench
from benchmarks.clips import SHORT_S, Clip, utterances
from benchmarks.engine_side import MODEL
from benchmarks.http_client import Connection
from benchmarks.report import Plot, Row, Series
from benchmarks.sections.result import Result
from benchmarks.side_process import Side, side
from benchmarks.speech_clients import transcribe

BEAM = 5
"""Of ``/v1/audio/transcriptions``."""
_SERVICE: Final = f'antiphon_engine_service_seconds_sum{{model="{MODEL}"}}'


class Pairs(Struct):
    """Seconds, a pair of the same clips at each place."""

    server: list[float] = field(default_factory=list[float])
    service: list[float] = field(default_factory=list[float])
    """Of the server's wall times, those that its engine calls took, one after the other."""
    engine: list[float] = field(default_factory=list[float])
    """In process."""


async def run(bench: Bench, result: Result) -> None:
    """At 1 and at 8 clips at once."""
    async with antiphon(bench) as server, side(bench, "host") as host:
        commands = (server.command, host.command)
        for count in (1, 8):
            bench.say(f"server and engine in turns, N = {count}")
            pairs = await _pairs(bench, server.port, host, count)
            inside = pairs.service if count == 1 else pairs.engine
            result.rows += _rows(count, pairs.server, inside, commands)
            result.plots.append(
                Plot(
                    title=f"Wall time through the server and in process, N = {count}",
                    x_label="pair",
                    y_label="ms",
                    series=(_series("server", pairs.server), _series("engine", pairs.engine)),
                    style="points",
                )
            )
            if count == 1:
                result.rows.append(
                    Row(
                        id="overhead.n1.in_process",
                        title="Wall time of a clip through the server, over the same in process, N = 1",
                        unit="×",
                        estimate=intervals.ratio_of_medians(pairs.server, pairs.engine),
                        details=_details(pairs.server, pairs.engine),
                        commands=commands,
                    )
                )


async def _pairs(bench: Bench, port: int, host: Side, count: int) -> Pairs:
    clips = cycle(utterances(max_s=SHORT_S))
    found = Pairs()
    connection = Connection(port)
    for pair in range(-1, bench.pairs):
        chosen = tuple(islice(clips, count))
        walls: dict[str, float] = {}
        for who in ("server", "engine") if pair % 2 else ("engine", "server"):
            if who == "server":
                before_s = total_of(await metrics(port), _SERVICE)
                walls[who] = await _through_server(connection, chosen)
                walls["service"] = total_of(await metrics(port), _SERVICE) - before_s
            else:
                walls[who] = (await host.recognise(chosen, beam=BEAM)).wall_s
        if pair >= 0:  # the first pair warms both up
            found.server.append(walls["server"])
            found.service.append(walls["service"])
            found.engine.append(walls["engine"])
    return found


async def _through_server(connection: Connection, clips: tuple[Clip, ...]) -> float:
    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for clip in clips:
            tasks.start_soon(transcribe, connection, clip)
    return time.perf_counter() - began


def _rows(count: int, ours: list[float], engine: list[float], commands: tuple[str, ...]) -> list[Row]:
    difference = intervals.median_difference(ours, engine)
    ratio = intervals.ratio_of_medians(ours, engine)
    details = _details(ours, engine)
    return [
        Row(
            id=f"overhead.n{count}.ms",
            title=f"Time the server adds to the engine call, N = {count}",
            unit="ms",
            estimate=difference.scaled(1000),
            details=details,
            commands=commands,
        ),
        Row(
            id=f"overhead.n{count}.percent",
            title=f"The same in percent, N = {count}",
            unit="%",
            estimate=ratio.scaled(100, -100),
            details=details,
            commands=commands,
        ),
    ]


def _details(ours: list[float], engine: list[float]) -> dict[str, str]:
    return {
        "server": f"{1000 * intervals.median(ours).value:.1f} ms",
        "engine": f"{1000 * intervals.median(engine).value:.1f} ms",
    }


def _series(name: str, walls: list[float]) -> Series:
    return Series(name, tuple(range(1, len(walls) + 1)), tuple(1000 * wall for wall in walls))
