"""Synthesis through the server: first audio, cached prompts, and whether many listeners hear gaps.

Every sentence is a new one of about five seconds, except where the cache is meant. The clock stops at the first
sample, not at a header.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import anyio
from msgspec import Struct

from benchmarks import intervals
from benchmarks.antiphon_server import antiphon, voice_of
from benchmarks.bench import Bench
from benchmarks.http_client import Connection
from benchmarks.playback import played
from benchmarks.processes import Running
from benchmarks.report import Estimate, Plot, Row, Series
from benchmarks.sections.result import Result
from benchmarks.sentences import sentences
from benchmarks.speech_clients import Spoken, speak

ENGINES = ("piper", "kokoro")
_SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of capacity, as load."""
_LEVEL_S = 9
"""How long listeners keep coming at one load."""
_SEED = 20


class Level(Struct, frozen=True):
    """One load, and how it was heard."""

    listeners: float
    """How many streams play at a time, on average."""
    streams: int
    with_gaps: int
    silent_s: float
    refused: int
    first_ms: float
    """Median."""


async def run(bench: Bench, result: Result) -> None:
    """Piper, then Kokoro where it is installed."""
    async with antiphon(bench) as server:
        for engine in ENGINES:
            voice = await voice_of(server.port, engine)
            if voice is None:
                result.rows += [
                    Row(
                        id=f"tts.{engine}.{name}", title=f"{engine.title()}, {name}", unit=unit, reason=_missing(engine)
                    )
                    for name, unit in (("first_audio", "ms"), ("gaps", "streams"))
                ]
                continue
            texts = sentences()
            await _first_audio(bench, result, server, engine, voice, texts)
            if engine == ENGINES[0]:
                await _cached(bench, result, server, voice, texts)
            await _gaps(bench, result, server, engine, voice, texts)


def _missing(engine: str) -> str:
    return f"No {engine} voice is installed; see: antiphon models list"


async def _first_audio(
    bench: Bench, result: Result, server: Running, engine: str, voice: str, texts: Iterator[str]
) -> None:
    bench.say(f"{engine}: first audio")
    connection = Connection(server.port)
    await speak(connection, next(texts), voice)
    found = [await speak(connection, next(texts), voice) for _ in range(bench.pairs)]
    result.rows.append(
        Row(
            id=f"tts.{engine}.first_audio",
            title=f"First audio of a 5 s sentence, {engine.title()}",
            unit="ms",
            estimate=intervals.median([one.first_s for one in found]).scaled(1000),
            details={
                "length": f"{intervals.median([one.audio_s for one in found]).value:.1f} s",
                "whole sentence": f"{1000 * intervals.median([one.took_s for one in found]).value:.0f} ms",
            },
            commands=(server.command,),
        )
    )


async def _cached(bench: Bench, result: Result, server: Running, voice: str, texts: Iterator[str]) -> None:
    bench.say("a prompt that was said before")
    text = next(texts)
    connection = Connection(server.port)
    fresh = await speak(connection, text, voice)
    found = [await speak(connection, text, voice) for _ in range(bench.pairs)]
    result.rows.append(
        Row(
            id="tts.cached",
            title="First audio of a prompt that was said before",
            unit="ms",
            estimate=intervals.median([one.first_s for one in found]).scaled(1000),
            details={
                "the first time": f"{1000 * fresh.first_s:.0f} ms",
                "all of it": f"{1000 * intervals.median([one.took_s for one in found]).value:.1f} ms",
            },
            commands=(server.command,),
        )
    )


async def _gaps(bench: Bench, result: Result, server: Running, engine: str, voice: str, texts: Iterator[str]) -> None:
    bench.say(f"{engine}: how fast it can speak at most")
    audio_s, wall_s = await _capacity(bench, server.port, voice, texts)
    capacity = audio_s / wall_s
    levels = [Level(1, *await _listened(server.port, voice, texts, 1.0, bench.scaled(_LEVEL_S, 4)))]
    for share in _SHARES:
        listeners = capacity * share
        if listeners <= 1:
            continue
        bench.say(f"{engine}: {listeners:.1f} listeners at a time")
        levels.append(
            Level(listeners, *await _listened(server.port, voice, texts, listeners, bench.scaled(_LEVEL_S, 4)))
        )
    bad = sum(level.with_gaps + level.refused for level in levels)
    streams = sum(level.streams for level in levels)
    result.rows.append(
        Row(
            id=f"tts.{engine}.gaps",
            title=f"Streams with a gap in playback, from 1 to 1/RTF = {capacity:.1f} listeners, {engine.title()}",
            unit="streams",
            estimate=Estimate(bad, bad, bad, streams),
            details={
                "RTF, all cores": f"{1 / capacity:.3f}",
                **{
                    f"{level.listeners:.1f} listeners": f"{level.with_gaps} of {level.streams} with gaps "
                    f"({level.silent_s:.2f} s), {level.refused} refused, first audio {level.first_ms:.0f} ms"
                    for level in levels
                },
            },
            commands=(server.command,),
        )
    )
    x = tuple(level.listeners for level in levels)
    result.plots.append(
        Plot(
            title=f"{engine.title()}: streams with gaps and median first audio by listeners",
            x_label="listeners at a time",
            y_label="% of streams; ms",
            series=(
                Series("with gaps, %", x, tuple(100 * one.with_gaps / max(1, one.streams) for one in levels)),
                Series("first audio, ms", x, tuple(level.first_ms for level in levels)),
            ),
        )
    )


async def _capacity(bench: Bench, port: int, voice: str, texts: Iterator[str]) -> tuple[float, float]:
    """Seconds of audio and of the clock, with as many streams at work as there are cores."""
    total_s = 0.0

    async def speak_some() -> None:
        nonlocal total_s
        connection = Connection(port)
        while time.perf_counter() < until:
            spoken = await speak(connection, next(texts), voice)
            total_s += spoken.audio_s  # read after the wait: others add to it meanwhile

    began = time.perf_counter()
    until = began + bench.scaled(6, 2)
    async with anyio.create_task_group() as tasks:
        for _ in range(bench.threads):
            tasks.start_soon(speak_some)
    return total_s, time.perf_counter() - began


async def _listened(
    port: int, voice: str, texts: Iterator[str], listeners: float, for_s: float
) -> tuple[int, int, float, int, float]:
    """Streams, those with gaps, silence, refusals and median first audio, with listeners who come when they will.

    Arrivals are a Poisson process of fixed rate, whatever the server does: sentences of five seconds at
    ``listeners / 5`` a second.
    """
    chance = random.Random(_SEED)
    heard: list[Spoken] = []
    refused = 0

    async def listen(text: str) -> None:
        nonlocal refused
        try:
            connection = Connection(port)
            heard.append(await speak(connection, text, voice))
        except (RuntimeError, OSError):
            refused += 1

    until = time.perf_counter() + for_s
    async with anyio.create_task_group() as tasks:
        while time.perf_counter() < until:
            tasks.start_soon(listen, next(texts))
            await anyio.sleep(chance.expovariate(listeners / 5.0))
    playbacks = [played(one.arrivals) for one in heard]
    return (
        len(heard) + refused,
        sum(playback.gaps > 0 for playback in playbacks),
        sum(playback.silent_s for playback in playbacks),
        refused,
        1000 * intervals.median([one.first_s for one in heard]).value if heard else float("nan"),
    )
