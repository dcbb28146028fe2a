"""One run of ``antiphon eval turns``: engines of this machine speak for the users, and a server is the other party."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
from msgspec import Struct

from evals.cache import Cache, cache_dir
from evals.recordings import Recordings
from evals.report import Conditions, Report, Section
from evals.turns.core_loop import Odds, simulate
from evals.turns.corpus import plan, recorded_turns, turn_clips
from evals.turns.dialogue import AgentLine, Split, load
from evals.turns.pauses import observe
from evals.turns.performance import Performance
from evals.turns.rendering import Renderer
from evals.turns.scenario import Scenario, plans, prepare
from evals.turns.sections import conversations_section, converse_all, pauses_section
from schemas.sessions import TurnSettings
from server import speech_engines
from server.cli.remote import remote_server
from server.demo.server_process import child_server
from server.evaluation.instruments import HostEars, HostVoices
from server.evaluation.policy import our_policy
from server.settings import Settings

USER_MODEL: Final = "kokoro-82m-v1.0-int8"
"""Speaks for the simulated users."""
IN_PROCESS: Final = "inproc"
"""The target that is a server of this machine, with the settings of the command, for as long as the run lasts."""
SERVER_LOG: Final = "server.log"
_QUICK_TURNS: Final = 12
_QUICK_CONVERSATIONS: Final = 2
_SIMULATED: Final = 1_000
_QUICK_SIMULATED: Final = 40
_RECORDED_KINDS: Final = ("utterance", "two_channel")

Track = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows the progress of a stage of so many steps; what it gives is called with the steps done."""


class TurnsWish(Struct, frozen=True, kw_only=True):
    """What is to be measured."""

    target: str
    """:data:`IN_PROCESS`, or the address of a server."""
    split: Split
    out: Path
    seed: int = 0
    languages: tuple[str, ...] = ()
    """All if empty."""
    quick: bool = False
    """A few of everything: it shows that all works, not how well."""
    parallel: int = 3
    repeats: int = 1
    turn_settings: dict[str, Any] = {}
    """Of the sessions, over the server's defaults."""
    key: str | None = None
    """An API key of the server."""
    speech_dir: Path | None = None
    """Folder of recordings."""
    server_options: tuple[str, ...] = ()
    """Of the server that is started."""


async def evaluate_turns(wish: TurnsWish, settings: Settings, track: Track) -> Report:
    """Measure turn-taking.

    Raises:
        SpeechError: ``model_not_installed`` and what else engines and server say.
    """
    recordings = Recordings(wish.speech_dir)
    load = round(os.getloadavg()[0], 2)
    sections, scenarios, models = await _at_home(wish, settings, recordings, track)
    began = time.perf_counter()
    performances = await _held(wish, scenarios, track)
    took_s = time.perf_counter() - began
    title = "Conversations, in real time"
    sections.append(_simulated(wish, track))
    return Report(
        conditions=Conditions(
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            target=wish.target,
            version=version("antiphon"),
            models=models,
            cpu=platform.processor() or platform.machine(),
            cores=os.cpu_count() or 1,
            python=platform.python_version(),
            others_load=load,
            seed=wish.seed,
            split=wish.split.value,
        ),
        sections=(conversations_section("conversations", title, performances, took_s), *sections),
    )


async def _at_home(
    wish: TurnsWish, settings: Settings, recordings: Recordings, track: Track
) -> tuple[list[Section], list[Scenario], dict[str, str]]:
    """All that is done with engines of this process; they are gone when the conversations begin."""
    cache = Cache(cache_dir())
    languages = wish.languages or None
    async with speech_engines.engine_host(settings) as host:
        renderer, ears = Renderer(HostVoices(host, USER_MODEL), cache), HostEars(host)
        turns = plan(wish.split, languages=languages)
        turns = turns[:_QUICK_TURNS] if wish.quick else turns
        with track("Speaking the users' turns", len(turns)) as advance:
            clips = await turn_clips(
                turns, renderer, recordings, wish.split, seed=wish.seed, advance=lambda: advance(1)
            )
        recorded = [] if wish.quick else recorded_turns(recordings, _RECORDED_KINDS, languages)
        with track("Listening to them", len(clips) + len(recorded)) as advance:
            corpus = await observe(clips, ears, cache, advance)
            real = await observe(recorded, ears, cache, advance)
        chosen = plans(wish.split, repeats=wish.repeats, seed=wish.seed, languages=languages)
        chosen = chosen[:_QUICK_CONVERSATIONS] if wish.quick else chosen
        with track("Speaking the users' conversations", len(chosen)) as advance:
            scenarios = await prepare(chosen, renderer, recordings, lambda: advance(1))
    ours = our_policy()
    sections = [pauses_section("pauses", "Pauses of the corpus", corpus, ours, ())]
    if real:
        note = "Pauses within recordings of people, who read aloud for the most part; the end is where the file is."
        sections.append(pauses_section("recordings", "Pauses of real recordings", real, ours, (note,)))
    return sections, scenarios, {**ears.models, "users": USER_MODEL}


def _simulated(wish: TurnsWish, track: Track) -> Section:
    """Conversations with the core alone, in virtual time."""
    began = time.perf_counter()
    dialogues = [one for one in load(wish.split) if any(isinstance(line, AgentLine) for line in one.lines)]
    count = _QUICK_SIMULATED if wish.quick else _SIMULATED
    settings = msgspec.convert(wish.turn_settings, TurnSettings)
    with track("Simulating conversations", count) as advance:
        held: list[Performance] = []
        for performance in simulate(dialogues, count, settings, Odds(), wish.seed):
            held.append(performance)
            advance(1)
    took_s = time.perf_counter() - began
    return conversations_section("core", "The turn core with drawn models, in virtual time", held, took_s)


async def _held(wish: TurnsWish, scenarios: list[Scenario], track: Track) -> list[Performance]:
    async with _target(wish) as http:
        with track("Holding conversations", len(scenarios)) as advance:
            return await converse_all(
                http, scenarios, wish.turn_settings, parallel=wish.parallel, advance=lambda: advance(1)
            )


@asynccontextmanager
async def _target(wish: TurnsWish) -> AsyncGenerator[httpx.AsyncClient]:
    if wish.target == IN_PROCESS:
        async with child_server(wish.out / SERVER_LOG, wish.server_options) as server:
            await server.ready()
            yield server.http
    else:
        async with remote_server(wish.target) as http:
            if wish.key:
                http.headers["authorization"] = f"Bearer {wish.key}"
            yield http
