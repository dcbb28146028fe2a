"""One run of ``antiphon eval turns``: engines of this machine speak for the users, and a server is the other party."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import msgspec

from evals.cache import Cache, cache_dir
from evals.recordings import Recordings
from evals.report import Section
from evals.turns.core_loop import Odds, simulate
from evals.turns.corpus import plan, recorded_turns, turn_clips
from evals.turns.dialogue import Split, load
from evals.turns.eot_bench import eot_bench_turns
from evals.turns.pauses import observe
from evals.turns.performance import Performance
from evals.turns.rendering import Renderer
from evals.turns.samples import conversation_samples, pause_samples
from evals.turns.scenario import Scenario, plans, prepare
from evals.turns.sections import conversations_section, converse_all, pauses_section
from schemas.sessions import TurnSettings
from server import speech_engines
from server.evaluation.abilities import Ability
from server.evaluation.area import Area, Findings, Track, Wish
from server.evaluation.instruments import SMART_TURN, HostEars, HostVoices
from server.evaluation.policy import our_policy
from server.evaluation.targets import opened, with_hash
from server.settings import Settings

USER_MODEL: Final = "kokoro-82m-v1.0-int8"
"""Speaks for the simulated users."""
_LIVE: Final = (
    "Simulated users speak scripts of the split to the server, over its public interface, through noise, telephone "
    "lines and echo; what it did is held against what they meant."
)
_PAUSES: Final = (
    "Each is a moment at which the turn might be over. Policies decide on the same audio, each at all its settings; "
    "those as they are set are below."
)
_DRAWN: Final = "The same scripts against the decisions alone, without audio: what models would say is drawn."
_QUICK_TURNS: Final = 12
_QUICK_CONVERSATIONS: Final = 2
_SIMULATED: Final = 1_000
_QUICK_SIMULATED: Final = 40
_RECORDED_KINDS: Final = ("utterance", "two_channel")


class TurnsWish(Wish, frozen=True, kw_only=True):
    """What is to be measured."""

    split: Split
    languages: tuple[str, ...] = ()
    """All if empty."""
    parallel: int = 3
    """Conversations at a time."""
    repeats: int = 1
    turn_settings: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    """Of the sessions, over the server's defaults."""
    speech_dir: Path | None = None
    """Folder of recordings."""
    eot_bench: Path | None = None
    """Folder of turns in the form of eot-bench."""


async def evaluate_turns(wish: TurnsWish, settings: Settings, track: Track) -> Findings:
    """Measure turn-taking.

    Raises:
        SpeechError: ``model_not_installed`` and what else engines and server say.
    """
    recordings = Recordings(wish.speech_dir)
    pauses, scenarios = await _at_home(wish, settings, recordings, track)
    began = time.perf_counter()
    performances = await _held(wish, settings, scenarios, track)
    took_s = time.perf_counter() - began
    title = "Conversations, in real time"
    core, simulated = _simulated(wish, track)
    return Findings(
        sections=(
            conversations_section("conversations", title, performances, took_s, about=_LIVE),
            *pauses.sections,
            core,
        ),
        samples=(
            *conversation_samples(performances, "conversations"),
            *pauses.samples,
            *conversation_samples(simulated, "core"),
        ),
        models=pauses.models,
        options={f"turn.{name}": str(value) for name, value in wish.turn_settings.items()},
    )


async def _at_home(
    wish: TurnsWish, settings: Settings, recordings: Recordings, track: Track
) -> tuple[Findings, list[Scenario]]:
    """All that is done with engines of this process; they are gone when the conversations begin."""
    cache = Cache(cache_dir())
    languages = wish.languages or None
    async with speech_engines.engine_host(settings) as host:
        renderer = Renderer(HostVoices(host, USER_MODEL), cache)
        ears = HostEars(host, speech_engines.model_store(settings).path(SMART_TURN))
        turns = plan(wish.split, languages=languages)
        turns = turns[:_QUICK_TURNS] if wish.quick else turns
        with track("Speaking the users' turns", len(turns)) as advance:
            clips = await turn_clips(
                turns, renderer, recordings, wish.split, seed=wish.seed, advance=lambda: advance(1)
            )
        recorded = [] if wish.quick else recorded_turns(recordings, _RECORDED_KINDS, languages)
        annotated = eot_bench_turns(wish.eot_bench) if wish.eot_bench else []
        with track("Listening to them", len(clips) + len(recorded) + len(annotated)) as advance:
            corpus, real, told = [await observe(some, ears, cache, advance) for some in (clips, recorded, annotated)]
        chosen = plans(wish.split, repeats=wish.repeats, seed=wish.seed, languages=languages)
        chosen = chosen[:_QUICK_CONVERSATIONS] if wish.quick else chosen
        with track("Speaking the users' conversations", len(chosen)) as advance:
            scenarios = await prepare(chosen, renderer, recordings, lambda: advance(1))
        hashes = {model.name: model.fingerprint for model in host.models()}
    ours = our_policy(msgspec.convert(wish.turn_settings, TurnSettings))
    sections = [pauses_section("pauses", "Pauses of simulated users", corpus, ours, (_PAUSES,))]
    samples = pause_samples(clips, corpus, ours, "pauses")
    if real:
        note = "Pauses within recordings of people, who read aloud for the most part; the end is where the file is."
        sections.append(pauses_section("recordings", "Pauses of real recordings", real, ours, (note,)))
        samples += pause_samples(recorded, real, ours, "recordings")
    if told:
        note = "Silences as they are annotated there; those of 200 ms to 5 s count as holds."
        sections.append(pauses_section("eot_bench", "Pauses of eot-bench", told, ours, (note,)))
        samples += pause_samples(annotated, told, ours, "eot_bench")
    named = {
        kind: with_hash(name, hashes.get(name, "")) for kind, name in (*ears.models.items(), ("users", USER_MODEL))
    }
    return Findings(sections=tuple(sections), samples=tuple(samples), models=named), scenarios


def _simulated(wish: TurnsWish, track: Track) -> tuple[Section, list[Performance]]:
    """Conversations with the core alone, in virtual time."""
    began = time.perf_counter()
    dialogues = [one for one in load(wish.split) if one.has_agent]
    count = _QUICK_SIMULATED if wish.quick else _SIMULATED
    settings = msgspec.convert(wish.turn_settings, TurnSettings)
    with track("Simulating conversations", count) as advance:
        held: list[Performance] = []
        for performance in simulate(dialogues, count, settings, Odds(), wish.seed):
            held.append(performance)
            advance(1)
    took_s = time.perf_counter() - began
    title = "The turn core with drawn models, in virtual time"
    return conversations_section("core", title, held, took_s, about=_DRAWN, are_headlines=False), held


async def _held(wish: TurnsWish, settings: Settings, scenarios: list[Scenario], track: Track) -> list[Performance]:
    async with opened(wish, settings) as target:
        with track("Holding conversations", len(scenarios)) as advance:
            return await converse_all(
                target.server, scenarios, wish.turn_settings, parallel=wish.parallel, advance=lambda: advance(1)
            )


TURNS: Final = Area(name="turns", title="Turn-taking", needs=frozenset({Ability.CONVERSE}), measure=evaluate_turns)
