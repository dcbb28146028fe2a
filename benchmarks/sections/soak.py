"""Half an hour at 70 % of capacity: does anything grow?

First the server is driven as fast as it goes with a mix of uploads and utterances; then the same mix arrives at random
(Poisson) at a share of that rate, beside sessions in which people take turns, while memory, open files and threads are
sampled. The verdict is the slope after a fifth of the time has passed, with its interval, over medians of a minute
each: samples of one minute see the same requests. Kept prompts are bounded at 4 MB, which is full by then: at the usual
64 MB their growth would be all there is to see for half an hour. What a burst leaves in the C library's hands is no
leak, so memory is also compared at rest, before and after.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from itertools import count, groupby
from statistics import median
from typing import Final

import anyio
import psutil
from msgspec import Struct

from benchmarks import intervals, machine
from benchmarks.antiphon_server import antiphon, voice_of
from benchmarks.bench import Bench
from benchmarks.clips import SHORT_S, utterances
from benchmarks.http_client import Connection
from benchmarks.processes import Running
from benchmarks.report import Estimate, Plot, Row, Series
from benchmarks.sections.result import Result, cause
from benchmarks.sentences import sentences
from benchmarks.speech_clients import speak, transcribe
from benchmarks.turn_client import paced_turn

_SEED: Final = 20
_SETTLING: Final = 0.2
"""Share of the time in which memory may still grow: caches fill, arenas find their size."""
_UPLOADS_PER_UTTERANCE: Final = 1
_TALKERS: Final = 2
_PARTS: Final = 30
"""Into which the time is cut: minutes, if it is half an hour."""
_REST_S: Final = 25.0
"""After so long at rest the server has given back what it does not need."""
_SETTINGS: Final = {"ANTIPHON_ENGINE_PROMPT_CACHE_MB": "4"}


class Sample(Struct, frozen=True):
    """The server at one moment."""

    at_s: float
    memory_mb: float
    files: int
    threads: int
    errors: int


class Traffic:
    """Requests of the mix, and how they ended."""

    def __init__(self, port: int, voice: str) -> None:
        self._port = port
        self._voice = voice
        self._texts = sentences()
        self._clips = utterances(max_s=SHORT_S)
        self._numbers = count()
        self.done = 0
        self.errors = 0
        self.first_error = ""

    async def one(self) -> None:
        """An upload or an utterance, in turns."""
        number = next(self._numbers)
        connection = Connection(self._port)
        if number % (_UPLOADS_PER_UTTERANCE + 1):
            await self._counted(lambda: self._upload(connection, number))
        else:
            await self._counted(lambda: self._utter(connection))

    async def turn(self) -> None:
        """A user's turn in a session of its own."""
        clip = self._clips[next(self._numbers) % len(self._clips)]
        await self._counted(lambda: paced_turn(self._port, clip, silence_ms=600))

    async def _upload(self, connection: Connection, number: int) -> None:
        await transcribe(connection, self._clips[number % len(self._clips)])

    async def _utter(self, connection: Connection) -> None:
        text = next(self._texts, None)
        if text is None:
            self._texts = sentences()
            text = next(self._texts)
        await speak(connection, text, self._voice)

    async def _counted(self, ask: Callable[[], Awaitable[object]]) -> None:
        try:
            await ask()
        except Exception as error:  # noqa: BLE001  whatever it was, a client was not served: it counts
            self.errors += 1
            self.first_error = self.first_error or cause(error)
        else:
            self.done += 1


async def run(bench: Bench, result: Result, *, minutes: float, load: float) -> None:
    """The soak.

    Args:
        bench: As for every section.
        result: Gets the rows.
        minutes: How long.
        load: Share of the measured capacity.
    """
    async with antiphon(bench, name="antiphon-soak", settings=_SETTINGS) as server:
        voice = await voice_of(server.port, "piper")
        if voice is None:
            raise RuntimeError("the soak speaks with Piper, of which no voice is installed")
        bench.say("how much the server can do at most")
        per_s = await _capacity(bench, server.port, voice)
        bench.say(f"{minutes:g} minutes at {load:.0%} of {per_s:.1f} requests a second")
        traffic = Traffic(server.port, voice)
        before_mb = await _memory_at_rest(server)
        samples = await _soaked(server, traffic, per_s * load, minutes * 60)
        after_mb = await _memory_at_rest(server)
    _report(result, samples, traffic, server, per_s * load)
    grown_mb = after_mb - before_mb
    result.rows.append(
        Row(
            id="soak.rest",
            title="Memory at rest, after against before",
            unit="MB",
            estimate=Estimate(grown_mb, grown_mb, grown_mb, 1),
            details={"memory": f"{before_mb:.0f} MB → {after_mb:.0f} MB (PSS)"},
            commands=(server.command,),
        )
    )


async def _memory_at_rest(server: Running) -> float:
    await anyio.sleep(_REST_S)
    return machine.memory_bytes(server.pid) / 1e6


async def _capacity(bench: Bench, port: int, voice: str) -> float:
    """Requests a second with twice as many callers as cores, and the talkers of the soak."""
    traffic = Traffic(port, voice)
    for_s = bench.scaled(20, 5)
    until = time.perf_counter() + for_s
    background = Traffic(port, voice)

    async def drive() -> None:
        while time.perf_counter() < until:
            await traffic.one()

    async def talk() -> None:
        while time.perf_counter() < until:
            await background.turn()

    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(2 * bench.threads):
            tasks.start_soon(drive)
        for _ in range(_TALKERS):
            tasks.start_soon(talk)
    return traffic.done / (time.perf_counter() - began)


async def _soaked(server: Running, traffic: Traffic, per_s: float, for_s: float) -> list[Sample]:
    chance = random.Random(_SEED)
    samples: list[Sample] = []
    began = time.perf_counter()
    until = began + for_s

    async def arrive() -> None:
        async with anyio.create_task_group() as requests:
            while time.perf_counter() < until:
                requests.start_soon(traffic.one)
                await anyio.sleep(chance.expovariate(per_s))

    async def talk() -> None:
        while time.perf_counter() < until:
            await traffic.turn()

    async def look() -> None:
        process = psutil.Process(server.pid)
        while time.perf_counter() < until:
            samples.append(
                Sample(
                    time.perf_counter() - began,
                    machine.memory_bytes(server.pid) / 1e6,
                    process.num_fds(),
                    process.num_threads(),
                    traffic.errors,
                )
            )
            await anyio.sleep(min(5.0, for_s / 20))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(arrive)
        for _ in range(_TALKERS):
            tasks.start_soon(talk)
        tasks.start_soon(look)
    return samples


def _report(result: Result, samples: list[Sample], traffic: Traffic, server: Running, per_s: float) -> None:
    settled = [one for one in samples if one.at_s >= _SETTLING * samples[-1].at_s]
    part_s = samples[-1].at_s / _PARTS
    parts = [list(part) for _, part in groupby(settled, key=lambda one: one.at_s // part_s)]
    hours = [median(one.at_s for one in part) / 3600 for part in parts]
    commands = (server.command,)
    details = {
        "requests": f"{traffic.done} at {per_s:.1f} a second, {_TALKERS} people talking",
        "memory": f"{settled[0].memory_mb:.0f} MB → {settled[-1].memory_mb:.0f} MB (PSS), "
        f"at most {max(one.memory_mb for one in samples):.0f} MB",
        "length": f"{samples[-1].at_s / 60:.1f} min",
    }
    figures: tuple[tuple[str, str, str, Callable[[Sample], float]], ...] = (
        ("soak.memory", "Growth of memory", "MB/h", lambda one: one.memory_mb),
        ("soak.files", "Growth of open files", "files/h", lambda one: one.files),
        ("soak.threads", "Growth of threads", "threads/h", lambda one: one.threads),
    )
    for row_id, title, unit, figure in figures:
        found = intervals.slope(hours, [median(map(figure, part)) for part in parts])
        verdict = "flat: the interval reaches zero" if found.low <= 0 else "grows"
        extra = details if row_id == "soak.memory" else {}
        result.rows.append(
            Row(
                id=row_id,
                title=title,
                unit=unit,
                estimate=found,
                details={"verdict": verdict, **extra},
                commands=commands,
            )
        )
    errors = float(traffic.errors)
    result.rows.append(
        Row(
            id="soak.errors",
            title="Requests that failed",
            unit="requests",
            estimate=Estimate(errors, errors, errors, traffic.done + traffic.errors),
            details={"first": traffic.first_error} if traffic.first_error else {},
            commands=commands,
        )
    )
    x = tuple(one.at_s / 60 for one in samples)
    result.plots.append(
        Plot(
            title="Memory over the soak",
            x_label="minutes",
            y_label="MB (PSS)",
            series=(Series("server", x, tuple(one.memory_mb for one in samples)),),
        )
    )
    result.plots.append(
        Plot(
            title="Open files and threads over the soak",
            x_label="minutes",
            y_label="number",
            series=(
                Series("open files", x, tuple(float(one.files) for one in samples)),
                Series("threads", x, tuple(float(one.threads) for one in samples)),
            ),
        )
    )
