"""One run of ``antiphon eval tts``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from anyio import to_thread
from msgspec.structs import replace

from evals.cache import Cache, cache_dir
from evals.corpora.corpus import open_corpus
from evals.robustness.measure import chosen
from evals.runner import Runner
from evals.targets.base import Synthesizer
from evals.tts.figures import Opinions, samples
from evals.tts.judges import distillmos, dnsmos
from evals.tts.measure import Reading, listen_all, speak_all, tasks
from evals.tts.opinions import likeness, mean_opinion
from evals.tts.section import section
from evals.tts.texts import LANGUAGES, sentences
from schemas.errors import ErrorCode, SpeechError
from server.evaluation.abilities import Ability
from server.evaluation.area import Area, Findings, Track, Wish
from server.evaluation.targets import opened
from server.settings import Settings

LISTENER: Final = "engine:whisper-base"
"""Understands what is spoken, whatever speaks: two targets are comparable if one recogniser listens to both."""
_MAX_S: Final = 15.0
_QUICK_TEXTS: Final = 1
_QUICK_SENTENCES: Final = 4


class TtsWish(Wish, frozen=True, kw_only=True):
    """What is to be measured."""

    listener: str = LISTENER
    """A target that recognises."""
    voices: tuple[str, ...] = ()
    """As in ``en=NAME``; else the target's default of each language."""
    texts: int = 3
    """Of the corpus, a language."""
    sentences: int = 12
    """With something difficult, a language."""


async def evaluate_tts(wish: TtsWish, settings: Settings, track: Track) -> Findings:
    """Measure how a target speaks.

    Raises:
        SpeechError: As corpora and targets have it; ``invalid_request`` if the target has no voice for any language.
    """
    began = time.perf_counter()
    corpus = open_corpus(wish.corpus, wish.selection)
    read = chosen(corpus.utterances, _QUICK_TEXTS if wish.quick else wish.texts, _MAX_S)
    cache = Cache(cache_dir())
    async with opened(wish, settings) as target:
        voices = await _voices(wish, target.synthesizer)
        planned = tasks(voices, read, sentences, _QUICK_SENTENCES if wish.quick else wish.sentences)
        speaker = Runner(cache, 1)
        with track("Speaking", len(planned)) as advance:
            spoken = await speak_all(planned, target.synthesizer, speaker, lambda: advance(1))
    recordings = sum(task.recording is not None for task in planned)
    async with opened(replace(wish, target=wish.listener), settings) as ear:
        name = next(iter(ear.models.values()), ear.name).partition(" ")[0]
        with track("Listening", len(planned) + recordings) as advance:
            readings = await listen_all(
                planned, spoken, ear.transcriber, Runner(cache, wish.parallel), lambda: advance(1)
            )
    with track("Asking models for their opinion", 2 * len(readings)) as advance:
        opinions = await to_thread.run_sync(_opinions, readings, lambda: advance(1))
    part = section(readings, opinions, name, remembered=speaker.remembered, took_s=time.perf_counter() - began)
    return Findings(
        sections=(part,),
        samples=tuple(samples(readings, opinions)),
        models={**target.models, "listener": name},
        options={"tts listener": wish.listener, "tts texts a language": str(wish.texts)},
    )


def _opinions(readings: Sequence[Reading], advance: Callable[[], None]) -> Opinions:
    return Opinions(
        dnsmos=mean_opinion(dnsmos, readings, advance),
        distillmos=mean_opinion(distillmos, readings, advance),
        likeness=likeness(readings),
    )


async def _voices(wish: TtsWish, synthesizer: Synthesizer) -> dict[str, str]:
    """By language: the one that was asked for, or the target's default."""
    asked = dict(pair.split("=", 1) for pair in wish.voices)
    languages = wish.selection.languages or tuple(dict.fromkeys((*LANGUAGES, *asked)))
    found: dict[str, str] = {}
    for language in languages:
        if language in asked:
            found[language] = asked[language]
        elif voices := await synthesizer.voices(language):
            found[language] = voices[0]
    if not found:
        raise SpeechError(
            ErrorCode.INVALID_REQUEST, f"The target has no voice for {', '.join(languages)}.", param="language"
        )
    return found


TTS: Final = Area(name="tts", title="Synthesis", needs=frozenset({Ability.SPEAK}), measure=evaluate_tts)
