"""Antiphon beside other servers of the same models: same weights, cores, beam, recordings and sentences, in turns."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from itertools import cycle, islice

import anyio
from msgspec import Struct

from benchmarks import intervals, machine
from benchmarks.accuracy import wer_percent
from benchmarks.antiphon_server import antiphon, voice_of
from benchmarks.bench import Bench
from benchmarks.clips import SHORT_S, Clip, utterances
from benchmarks.http_client import Connection
from benchmarks.peer_servers import KOKORO_VOICE, PIPER_RATE_HZ, fastkokoro, piper_http, whisper_live, wyoming
from benchmarks.processes import Running
from benchmarks.report import Plot, Row, Series
from benchmarks.sections.result import Result, cause
from benchmarks.sentences import sentences
from benchmarks.speech_clients import (
    Spoken,
    fastkokoro_speak,
    piper_speak,
    speak,
    transcribe,
    whisper_live_transcribe,
    wyoming_transcribe,
)
from benchmarks.turn_client import burst_turn

AT_ONCE = 4
BEAM = 5
"""Of Antiphon's turns and uploads."""
_SILENCE_MS = 600

One = Callable[[Clip], Awaitable[str]]


class Rival(Struct, frozen=True):
    """A server that recognises speech."""

    row: str
    name: str
    start: Callable[..., AbstractAsyncContextManager[Running]]
    ask: Callable[[int, Clip], Awaitable[str]]
    ours: tuple[str, ...]
    """What of Antiphon it is compared with."""
    partials: bool
    """Whether it recognises what was said so far, again and again: then Antiphon's sessions do so too."""


async def run(bench: Bench, result: Result) -> None:
    """One peer after the other; one that cannot be had says why."""
    async with antiphon(bench) as ours:
        for rival in (
            Rival("wyoming", "wyoming-faster-whisper", wyoming, _ask_wyoming, ("session", "upload"), partials=False),
            Rival("whisper_live", "whisper-live", whisper_live, _ask_whisper_live, ("session",), partials=True),
        ):
            await _recognition(bench, result, ours, rival)
        piper = await voice_of(ours.port, "piper")
        await _synthesis(bench, result, ours, "piper", piper, piper_http, _piper)
        kokoro = KOKORO_VOICE if await voice_of(ours.port, "kokoro") else None
        await _synthesis(bench, result, ours, "kokoro", kokoro, fastkokoro, _fastkokoro)


async def _recognition(bench: Bench, result: Result, ours: Running, rival: Rival) -> None:
    title = f"Wall time of {AT_ONCE} clips at once: {rival.name} over Antiphon"
    every = {"session": f"peers.{rival.row}.wall4", "upload": f"peers.{rival.row}.wall4.upload"}
    ids = {key: every[key] for key in rival.ours}
    texts = {"session": f"{title}'s sessions", "upload": f"{title}'s uploads (whole window)"}
    try:
        async with rival.start(bench, beam=BEAM) as theirs:
            bench.say(f"{rival.name}: {AT_ONCE} clips at once, in turns")
            walls, written, clips = await _walls(bench, ours, theirs, rival)
    except Exception as error:  # noqa: BLE001  a peer that fails must not take the others' figures with it
        reason = f"{rival.name}: {cause(error)}"
        result.rows += [Row(id=ids[key], title=texts[key], unit="×", reason=reason) for key in ids]
        return
    for key, row_id in ids.items():
        details = {
            "Antiphon": f"{1000 * intervals.median(walls[key]).value:.0f} ms",
            rival.name: f"{1000 * intervals.median(walls['theirs']).value:.0f} ms",
            "WER, Antiphon": f"{wer_percent(clips, written[key]):.1f} %",
            f"WER, {rival.name}": f"{wer_percent(clips, written['theirs']):.1f} %",
            "beam": str(BEAM),
            "partial transcripts": "yes" if rival.partials else "none on either side",
        }
        result.rows.append(
            Row(
                id=row_id,
                title=texts[key],
                unit="×",
                estimate=intervals.ratio_of_medians(walls["theirs"], walls[key]),
                details=details,
                commands=(ours.command, theirs.command),
            )
        )
    result.plots.append(_walls_plot(f"{AT_ONCE} clips at once, Antiphon and {rival.name}", rival.name, walls))


async def _walls(
    bench: Bench, ours: Running, theirs: Running, rival: Rival
) -> tuple[dict[str, list[float]], dict[str, list[str]], list[Clip]]:
    async def session(clip: Clip) -> str:
        return (await burst_turn(ours.port, clip, silence_ms=_SILENCE_MS, partials=rival.partials)).text

    async def upload(clip: Clip) -> str:
        connection = Connection(ours.port)
        return (await transcribe(connection, clip)).text

    async def ask(clip: Clip) -> str:
        return await rival.ask(theirs.port, clip)

    every: dict[str, One] = {"session": session, "upload": upload, "theirs": ask}
    who = {name: every[name] for name in (*rival.ours, "theirs")}
    walls: dict[str, list[float]] = {name: [] for name in who}
    written: dict[str, list[str]] = {name: [] for name in who}
    source = cycle(utterances(max_s=SHORT_S))
    clips: list[Clip] = []
    for pair in range(-1, bench.pairs):
        chosen = tuple(islice(source, AT_ONCE))
        for name in who if pair % 2 else reversed(who):
            await machine.idle((ours.pid, theirs.pid))
            wall_s, texts = await _at_once(chosen, who[name])
            if pair >= 0:  # the first pair warms both up
                walls[name].append(wall_s)
                written[name] += texts
        clips += chosen if pair >= 0 else ()
    return walls, written, clips


async def _at_once(clips: tuple[Clip, ...], ask: One) -> tuple[float, list[str]]:
    texts = [""] * len(clips)

    async def one(number: int) -> None:
        texts[number] = await ask(clips[number])

    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for number in range(len(clips)):
            tasks.start_soon(one, number)
    return time.perf_counter() - began, texts


async def _ask_wyoming(port: int, clip: Clip) -> str:
    return (await wyoming_transcribe(port, clip)).text


async def _ask_whisper_live(port: int, clip: Clip) -> str:
    return (await whisper_live_transcribe(port, clip)).text


Speaks = Callable[[Connection, str], Awaitable[Spoken]]


async def _synthesis(
    bench: Bench,
    result: Result,
    ours: Running,
    engine: str,
    voice: str | None,
    start: Callable[[Bench], AbstractAsyncContextManager[Running]],
    theirs_speak: Speaks,
) -> None:
    name = {"piper": "piper's HTTP server", "kokoro": "fastkokoro"}[engine]
    row_id, title = f"peers.{engine}.first_audio", f"First audio of a 5 s sentence: {name} over Antiphon"
    if voice is None:
        reason = f"Antiphon has no {engine} voice installed; see: antiphon models list"
        result.rows.append(Row(id=row_id, title=title, unit="×", reason=reason))
        return
    walls: dict[str, list[float]] = {"session": [], "theirs": []}
    lengths_s: list[float] = []
    texts = sentences()
    try:
        async with start(bench) as theirs:
            here, there = Connection(ours.port), Connection(theirs.port)
            bench.say(f"{name}: first audio, in turns")
            for pair in range(-1, bench.pairs):
                for who in ("ours", "theirs") if pair % 2 else ("theirs", "ours"):
                    await machine.idle((ours.pid, theirs.pid))
                    text = next(texts)
                    spoken = await (speak(here, text, voice) if who == "ours" else theirs_speak(there, text))
                    if pair >= 0:
                        walls["session" if who == "ours" else "theirs"].append(spoken.first_s)
                        lengths_s.append(spoken.audio_s)
    except Exception as error:  # noqa: BLE001  a peer that fails must not take the others' figures with it
        reason = f"{name}: {cause(error)}"
        result.rows.append(Row(id=row_id, title=title, unit="×", reason=reason))
        return
    details = {
        "Antiphon": f"{1000 * intervals.median(walls['session']).value:.0f} ms",
        name: f"{1000 * intervals.median(walls['theirs']).value:.0f} ms",
        "length of a sentence": f"{intervals.median(lengths_s).value:.1f} s",
    }
    result.rows.append(
        Row(
            id=row_id,
            title=title,
            unit="×",
            estimate=intervals.ratio_of_medians(walls["theirs"], walls["session"]),
            details=details,
            commands=(ours.command, theirs.command),
        )
    )
    result.plots.append(_walls_plot(f"First audio, Antiphon and {name}", name, walls))


async def _piper(connection: Connection, text: str) -> Spoken:
    return await piper_speak(connection, text, PIPER_RATE_HZ)


async def _fastkokoro(connection: Connection, text: str) -> Spoken:
    return await fastkokoro_speak(connection, text, KOKORO_VOICE)


def _walls_plot(title: str, rival: str, walls: dict[str, list[float]]) -> Plot:
    names = {"session": "Antiphon", "upload": "Antiphon, uploads", "theirs": rival}
    series = tuple(Series(names[key], (), tuple(1000 * one for one in found)) for key, found in walls.items())
    return Plot(title=title, x_label="ms", y_label="share", series=series, style="ecdf")
