"""What the server adds to the engine: the same clips through ``POST /v1/audio/transcriptions`` and in process.

Both are Antiphon's engine with the same options on the same cores; the request also uploads and decodes a WAV file.
"""

from __future__ import annotations

import time
from itertools import cycle, islice

import anyio

from benchmarks import intervals
from benchmarks.antiphon_server import antiphon
from benchmarks.bench import Bench
from benchmarks.clips import SHORT_S, Clip, utterances
from benchmarks.http_client import Connection
from benchmarks.report import Plot, Row, Series
from benchmarks.sections.result import Result
from benchmarks.side_process import Side, side
from benchmarks.speech_clients import transcribe

BEAM = 5
"""Of ``/v1/audio/transcriptions``."""


async def run(bench: Bench, result: Result) -> None:
    """At 1 and at 8 clips at once."""
    async with antiphon(bench) as server, side(bench, "host") as host:
        commands = (server.command, host.command)
        for count in (1, 8):
            bench.say(f"server and engine in turns, N = {count}")
            ours, engine = await _pairs(bench, server.port, host, count)
            result.rows += _rows(count, ours, engine, commands)
            result.plots.append(
                Plot(
                    title=f"Wall time through the server and in process, N = {count}",
                    x_label="pair",
                    y_label="ms",
                    series=(_series("server", ours), _series("engine", engine)),
                    style="points",
                )
            )


async def _pairs(bench: Bench, port: int, host: Side, count: int) -> tuple[list[float], list[float]]:
    clips = cycle(utterances(max_s=SHORT_S))
    ours, engine = list[float](), list[float]()
    connection = Connection(port)
    for pair in range(-1, bench.pairs):
        chosen = tuple(islice(clips, count))
        walls: dict[str, float] = {}
        for who in ("server", "engine") if pair % 2 else ("engine", "server"):
            if who == "server":
                walls[who] = await _through_server(connection, chosen)
            else:
                walls[who] = (await host.recognise(chosen, beam=BEAM)).wall_s
        if pair >= 0:  # the first pair warms both up
            ours.append(walls["server"])
            engine.append(walls["engine"])
    return ours, engine


async def _through_server(connection: Connection, clips: tuple[Clip, ...]) -> float:
    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for clip in clips:
            tasks.start_soon(transcribe, connection, clip)
    return time.perf_counter() - began


def _rows(count: int, ours: list[float], engine: list[float], commands: tuple[str, ...]) -> list[Row]:
    difference = intervals.median_difference(ours, engine)
    ratio = intervals.ratio_of_medians(ours, engine)
    details = {
        "server": f"{1000 * intervals.median(ours).value:.1f} ms",
        "engine": f"{1000 * intervals.median(engine).value:.1f} ms",
    }
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


def _series(name: str, walls: list[float]) -> Series:
    return Series(name, tuple(range(1, len(walls) + 1)), tuple(1000 * wall for wall in walls))
