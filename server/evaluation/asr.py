"""One run of ``antiphon eval asr``: recordings of a corpus, recognised by a target."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

from msgspec.structs import replace

from evals.asr.calibration import Belief, beliefs
from evals.asr.figures import section
from evals.asr.live import Streamed, stream
from evals.asr.outcomes import NO_SPEECH, Outcome, outcome, sample_of
from evals.asr.recognition import detect, recognise, recording_of
from evals.asr.stream_figures import Streaming, leaks, stream_section
from evals.asr.stream_figures import sample_of as stream_sample
from evals.cache import Cache, cache_dir
from evals.corpora.corpus import open_corpus
from evals.corpora.utterance import Utterance
from evals.intervals import Estimate
from evals.report import Section
from evals.runner import Failure, Runner
from evals.samples import Sample
from evals.targets.base import Heard, Search, Target
from schemas.errors import SpeechError
from schemas.transcripts import LanguageGuess
from server.evaluation.abilities import Ability
from server.evaluation.area import Area, Findings, Track, Wish
from server.evaluation.targets import opened
from server.settings import Settings

STREAM: Final = 24
"""Recordings: two minutes or so."""
CALIBRATE: Final = 24
_SESSIONS: Final = 3
"""At a time: as many as a small machine has time for."""
_QUICK: Final = 8
_QUICK_DRAWN: Final = 3
_SHOWN: Final = 3

Failures = list[tuple[Utterance, Failure]]
T = TypeVar("T")


class AsrWish(Wish, frozen=True, kw_only=True):
    """What is to be measured."""

    search: Search = Search()
    calibrate: int = CALIBRATE
    """Recordings that are recognised once more, with the words' probabilities: Whisper's text may differ then."""
    detect: bool = True
    """Whether to ask for the language, too."""
    stream: int = STREAM
    """Recordings said to sessions, in real time, where the target has sessions."""


async def evaluate_asr(wish: AsrWish, settings: Settings, track: Track) -> Findings:
    """Measure recognition.

    Raises:
        SpeechError: Of corpus and target; that of the target if all fails.
    """
    corpus = open_corpus(wish.corpus, wish.selection)
    utterances = [one for one in corpus.utterances if one.text or (one.text == "" and one.kind in NO_SPEECH)]
    utterances = utterances[:: max(1, len(utterances) // _QUICK)] if wish.quick else utterances
    began = time.perf_counter()
    async with opened(wish, settings, search=wish.search) as target:
        runner = Runner(Cache(cache_dir()), wish.parallel)
        found, failures, unknown = await _recognised(wish, target, utterances, runner, track)
        chosen = _drawn([one for one in found if one.is_speech], wish.calibrate, wish)
        words, unsure, asked_for_words = await _words(target, chosen, runner, track)
        took_s = time.perf_counter() - began
        streamed, live = await _streamed(wish, target, found, track)
    notes = [f"{wish.parallel} requests at a time."]
    if runner.remembered:
        notes.append(f"{runner.remembered} answers are of earlier runs of the same target, and so are their times.")
    notes += [f"{one.id}: {failure.message}" for one, failure in (*failures, *unknown, *unsure)[:_SHOWN]]
    samples = [*map(sample_of, found), *(_failed(one, failure) for one, failure in failures)]
    failed = len(failures) + len(unknown) + len(unsure)
    asked = len(utterances) * (1 + wish.detect) + asked_for_words
    return Findings(
        sections=(section(found, words, Estimate(failed, failed, failed, asked), took_s, notes), *streamed),
        samples=(*samples, *live),
        models=target.models,
        options={"search": str(wish.search)},
    )


async def _recognised(
    wish: AsrWish, target: Target, utterances: Sequence[Utterance], runner: Runner, track: Track
) -> tuple[list[Outcome], Failures, Failures]:
    """What came of the recordings; those that nothing came of; those whose language was asked for in vain."""
    recordings = [recording_of(one) for one in utterances]
    with track("Recognising", len(recordings)) as advance:
        heard = await recognise(recordings, target.transcriber, runner, lambda: advance(1))
    guesses: Sequence[LanguageGuess | Failure | None] = [None] * len(recordings)
    if wish.detect:
        with track("Asking for languages", len(recordings)) as advance:
            guesses = await _counted(
                detect(recordings, target.transcriber, runner, lambda: advance(1)), len(recordings)
            )
    found: list[Outcome] = []
    failures: Failures = []
    for one, result, guess in zip(utterances, heard, guesses, strict=True):
        if isinstance(result, Failure):
            failures.append((one, result))
            continue
        try:
            found.append(outcome(one, result, guess))
        except SpeechError as error:
            failures.append((one, Failure(error.code, error.message)))
    unknown = [(one, guess) for one, guess in zip(utterances, guesses, strict=True) if isinstance(guess, Failure)]
    return found, failures, unknown


async def _words(
    target: Target, chosen: Sequence[Outcome], runner: Runner, track: Track
) -> tuple[list[Belief], Failures, int]:
    """What is believed of words; the recordings of which nothing came; how many were asked for."""
    told: list[Heard | Failure] = []
    with track("Asking for probabilities", len(chosen)) as advance:
        recordings = [recording_of(one.utterance) for one in chosen]
        for some in (recordings[:1], recordings[1:]):
            asking = recognise(some, target.transcriber, runner, lambda: advance(1), words=True)
            told += await _counted(asking, len(some))
            if told and isinstance(told[0], Heard) and told[0].text and not told[0].words:
                break  # It does not tell them, and would not the next time.
    chosen = chosen[: len(told)]
    known = [
        belief
        for one, heard in zip(chosen, told, strict=True)
        if isinstance(heard, Heard)
        for belief in beliefs(heard.words, one.utterance.text or "", one.utterance.language, one.utterance.block)
    ]
    unsure = [(one.utterance, heard) for one, heard in zip(chosen, told, strict=True) if isinstance(heard, Failure)]
    return known, unsure, len(told)


async def _counted(results: Awaitable[list[T]], n: int) -> list[T | Failure]:
    """The results; so many failures if the target was given up: what it could do before is reported all the same."""
    try:
        return [*await results]
    except SpeechError as error:
        return [Failure(error.code, error.message)] * n


def _drawn(found: Sequence[Outcome], count: int, wish: AsrWish) -> list[Outcome]:
    """So many of them, by the seed."""
    count = min(count, _QUICK_DRAWN) if wish.quick else count
    chosen = random.Random(wish.seed).sample(found, min(count, len(found)))  # noqa: S311  of an even choice
    return sorted(chosen, key=lambda one: one.utterance.id)


async def _streamed(
    wish: AsrWish, target: Target, found: Sequence[Outcome], track: Track
) -> tuple[list[Section], list[Sample]]:
    if target.antiphon is None or not wish.stream:
        return [], []
    http, began = target.antiphon, time.perf_counter()
    speech = [one for one in found if one.is_speech and one.utterance.kind == "utterance"]
    chosen = _drawn(speech, wish.stream, wish)
    runner = Runner(Cache(cache_dir()), _SESSIONS)
    with track("Saying them to sessions", len(chosen)) as advance:
        streaming = runner.run(
            chosen,
            lambda one: stream(http, one.utterance),
            lambda one: (one.utterance.fingerprint(), one.utterance.language, target.transcriber.identity, _SESSIONS),
            Streamed,
            kind="stream",
            advance=lambda: advance(1),
        )
        results = await _counted(streaming, len(chosen))
    held = [(one, result) for one, result in zip(chosen, results, strict=True) if isinstance(result, Streamed)]
    leaked = leaks([(one.utterance, result.text) for one, result in held])
    streams = [
        Streaming(utterance=one.utterance, streamed=result, offline=one, leaked=leak)
        for (one, result), leak in zip(held, leaked, strict=True)
    ]
    part = stream_section(streams, len(chosen) - len(held), time.perf_counter() - began, _SESSIONS)
    if runner.remembered:
        note = f"{runner.remembered} sessions are of earlier runs of the same target, and so are their times."
        part = replace(part, notes=(*part.notes, note))
    return [part], [stream_sample(one) for one in streams]


def _failed(utterance: Utterance, failure: Failure) -> Sample:
    return Sample(area="asr", id=utterance.id, block=utterance.block, error=failure.message)


ASR: Final = Area(name="asr", title="Recognition", needs=frozenset({Ability.RECOGNISE}), measure=evaluate_asr)
