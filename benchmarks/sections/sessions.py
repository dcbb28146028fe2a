"""How many sessions a core can listen to, what each takes in memory, and how the event loop fares under full load.

The server has one core for itself, the load generator another (where there are two). Sessions hear silence in real
time, 20 ms a frame. **Real time is kept** at a level when, in its later seconds, the server has worked through all but
the last 300 ms of the audio of 99 % of the sessions asked, and the load generator was on time itself.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from itertools import count

import anyio
import numpy as np
from anyio import to_thread
from msgspec import Struct

from benchmarks import intervals, machine
from benchmarks.antiphon_server import antiphon, histogram, metrics, quantile_of, voice_of
from benchmarks.bench import Bench
from benchmarks.clips import SHORT_S, utterances
from benchmarks.http_client import Connection, is_ok
from benchmarks.idle_microphones import Fed, IdleMicrophones
from benchmarks.processes import Running, free_port, started
from benchmarks.report import Estimate, Plot, Row, Series
from benchmarks.sections.result import Result
from benchmarks.sentences import sentences
from benchmarks.speech_clients import speak, transcribe
from benchmarks.turn_client import FRAME_MS, open_session, received_ms

LAG_METRIC = "antiphon_event_loop_lag_seconds"
BEHIND_MS = 300
"""A session this far behind its microphone is not in real time: the stop that ends a turn is 200 ms."""
_STEP = 100
_MOST = 1_600
_SILENT = 200
"""Connections to a server that does nothing."""
_ASKED = 40
"""Sessions whose position is asked for at a level."""


class Level(Struct, frozen=True):
    """One number of sessions."""

    sessions: int
    behind_p99_ms: float
    late_ms: float
    processor_ms: float
    """Of the server, for a session and second of its audio, with asking where it is."""
    memory_mb: float
    lag_p99_ms: float | None

    @property
    def keeps_up(self) -> bool:
        """Whether real time was kept, and seen to be."""
        return self.behind_p99_ms <= BEHIND_MS


async def run(bench: Bench, result: Result) -> None:
    """Two servers: one on a core of its own for the ramp, one on all cores under full load."""
    machine.pin_this_process(bench.cores.generator)
    try:
        async with antiphon(bench, name="antiphon-one-core", cores=bench.cores.one) as server:
            await _ramp(bench, result, server)
        await _messages_alone(bench, result)
    finally:
        machine.pin_this_process(bench.cores.engines)
    async with antiphon(bench, name="antiphon-full-load") as server:
        await _full_load(bench, result, server)


async def _ramp(bench: Bench, result: Result, server: Running) -> None:
    step, most = (_STEP, _MOST) if not bench.quick else (50, 200)
    levels = [Level(0, 0.0, 0.0, 0.0, machine.memory_bytes(server.pid) / 1e6, None)]
    limited_by = ""
    with IdleMicrophones(server.port) as microphones:
        session_ids: list[str] = []
        while len(session_ids) < most:
            bench.say(f"{len(session_ids) + step} sessions that listen to silence")
            fresh = [await open_session(server.port, {"language": "en", "partials": False}) for _ in range(step)]
            await to_thread.run_sync(microphones.connect, fresh)
            session_ids += fresh
            level, fed = await _held(bench, server, microphones, session_ids)
            levels.append(level)
            if not level.keeps_up:
                limited_by = f"at {level.sessions} sessions the server was {level.behind_p99_ms:.0f} ms behind"
                break
            if fed.late_p99_ms > FRAME_MS:
                limited_by = f"at {level.sessions} sessions the load generator itself was {fed.late_p99_ms:.0f} ms late"
                break
    best = max((level.sessions for level in levels if level.keeps_up), default=0)
    commands = (server.command,)
    result.rows.append(
        Row(
            id="sessions.per_core",
            title="Sessions that listen to silence, in real time, on one core",
            unit="sessions",
            estimate=Estimate(best, best, best + step, 1),
            details={
                "limit": limited_by or f"none found up to {most}",
                "step": str(step),
                "processor time for a session and second": ", ".join(
                    f"{level.processor_ms:.2f} ms of {level.sessions}" for level in levels[1:]
                ),
            },
            commands=commands,
        )
    )
    used = [level for level in levels if level.keeps_up]
    if len(used) > 1:
        found = intervals.slope([level.sessions for level in used], [level.memory_mb for level in used])
        result.rows.append(
            Row(
                id="sessions.memory",
                title="Memory of a listening session (PSS of all processes of the server)",
                unit="MB",
                estimate=found,
                details={"server without sessions": f"{levels[0].memory_mb:.0f} MB"},
                commands=commands,
            )
        )
    x = tuple(float(level.sessions) for level in levels)
    result.plots.append(
        Plot(
            title="Behind real time, 99th percentile, on one core",
            x_label="sessions",
            y_label="ms",
            series=(Series("server", x, tuple(level.behind_p99_ms for level in levels)),),
            bound=BEHIND_MS,
        )
    )
    result.plots.append(
        Plot(
            title="Memory of the server",
            x_label="sessions",
            y_label="MB (PSS)",
            series=(Series("server", x, tuple(level.memory_mb for level in levels)),),
        )
    )


async def _messages_alone(bench: Bench, result: Result) -> None:
    bench.say(f"{_SILENT} WebSockets to a server that does nothing")
    port, for_s = free_port(), bench.scaled(6, 2)
    command = [sys.executable, "-m", "benchmarks.silent_server", str(port)]
    async with started(
        "silent-server", command, port=port, cores=bench.cores.one, logs=bench.logs, is_ready=partial(is_ok, port, "/")
    ) as server:
        with IdleMicrophones(port) as microphones:
            await to_thread.run_sync(microphones.connect, [str(number) for number in range(_SILENT)])
            before_s = machine.processor_s([server.pid])
            await to_thread.run_sync(microphones.feed, for_s)
            used_ms = 1000 * (machine.processor_s([server.pid]) - before_s) / (_SILENT * for_s)
    result.rows.append(
        Row(
            id="sessions.messages_alone",
            title="Processor time for the messages of a session and second, by uvicorn and websockets alone",
            unit="ms",
            estimate=Estimate(used_ms, used_ms, used_ms, 1),
            details={"sessions": str(_SILENT), "messages": f"one of {FRAME_MS} ms each"},
            commands=(server.command,),
        )
    )


async def _held(
    bench: Bench, server: Running, microphones: IdleMicrophones, session_ids: list[str]
) -> tuple[Level, Fed]:
    before = histogram(await metrics(server.port), LAG_METRIC)
    before_s = machine.processor_s([server.pid])
    for_s = bench.scaled(6, 3)
    asked = range(0, len(session_ids), max(1, len(session_ids) // _ASKED))
    behind_ms: list[float] = []
    fed: list[Fed] = []

    async def feed() -> None:
        fed.append(await to_thread.run_sync(microphones.feed, for_s))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed)
        await anyio.sleep(for_s / 2)  # a server that cannot keep up falls ever further behind
        connection = Connection(server.port)
        for number in asked:
            done_ms = await received_ms(connection, session_ids[number])
            behind_ms.append(max(0.0, microphones.sent_ticks[number] * FRAME_MS - done_ms))
            await anyio.sleep(for_s * 0.4 / len(asked))
    lag_s = quantile_of(before, histogram(await metrics(server.port), LAG_METRIC), 0.99)
    return Level(
        len(session_ids),
        float(np.quantile(behind_ms, 0.99)),
        fed[0].late_p99_ms,
        1000 * (machine.processor_s([server.pid]) - before_s) / (len(session_ids) * for_s),
        machine.memory_bytes(server.pid) / 1e6,
        None if lag_s is None else 1000 * lag_s,
    ), fed[0]


async def _full_load(bench: Bench, result: Result, server: Running) -> None:
    bench.say("full load: transcriptions and speech without pause, beside listening sessions")
    title = "Lag of the event loop under full load, 99th percentile"
    for_s = bench.scaled(20, 4)
    voice = await voice_of(server.port, "piper")
    before = histogram(await metrics(server.port), LAG_METRIC)
    done = dict.fromkeys(("transcriptions", "utterances"), 0)
    clips, texts = utterances(max_s=SHORT_S), sentences()
    until = time.perf_counter() + for_s

    async def upload() -> None:
        connection = Connection(server.port)
        for number in count():
            if time.perf_counter() > until:
                return
            await transcribe(connection, clips[number % len(clips)])
            done["transcriptions"] += 1

    async def talk() -> None:
        connection = Connection(server.port)
        while voice and time.perf_counter() < until:
            await speak(connection, next(texts), voice)
            done["utterances"] += 1

    async def feed() -> None:
        await to_thread.run_sync(microphones.feed, for_s)

    sessions = 32
    with IdleMicrophones(server.port) as microphones:
        ids = [await open_session(server.port, {"language": "en"}) for _ in range(sessions)]
        await to_thread.run_sync(microphones.connect, ids)
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(upload)
            for _ in range(4):
                tasks.start_soon(talk)
            tasks.start_soon(feed)
    after = histogram(await metrics(server.port), LAG_METRIC)
    lag_s = quantile_of(before, after, 0.99)
    if lag_s is None:
        reason = f"The server shows no {LAG_METRIC}."
        result.rows.append(Row(id="sessions.loop_lag", title=title, unit="ms", reason=reason))
        return
    looks = round(after[max(after)] - before.get(max(before, default=0.0), 0.0))
    half_s = quantile_of(before, after, 0.5) or 0.0
    result.rows.append(
        Row(
            id="sessions.loop_lag",
            title=title,
            unit="ms",
            estimate=Estimate(1000 * lag_s, 1000 * lag_s, 1000 * lag_s, looks),
            details={
                "load": f"8 uploads and 4 utterances at any time, {sessions} listening sessions",
                "done": ", ".join(f"{number} {name}" for name, number in done.items()),
                "median": f"{1000 * half_s:.1f} ms",
                "interval": "none: buckets of a histogram",
            },
            commands=(server.command,),
        )
    )
