"""One run of ``antiphon eval robustness``."""

from __future__ import annotations

import time
from typing import Final

from evals.cache import Cache, cache_dir
from evals.corpora.corpus import open_corpus
from evals.robustness.curves import Curves
from evals.robustness.degradations import families
from evals.robustness.measure import chosen, measure, trials
from evals.runner import Runner
from evals.targets.base import Search
from schemas.errors import ErrorCode, SpeechError
from server.evaluation.abilities import Ability
from server.evaluation.area import Area, Findings, Track, Wish
from server.evaluation.targets import opened
from server.settings import Settings

_MAX_S: Final = 15.0
_QUICK_FAMILIES: Final = ("noise", "codec")
_BEAM: Final = 1


class RobustnessWish(Wish, frozen=True, kw_only=True):
    """What is to be measured."""

    per_language: int = 2
    """Recordings."""


async def evaluate_robustness(wish: RobustnessWish, settings: Settings, track: Track) -> Findings:
    """Measure how recognition fares with what rooms, lines and microphones do to speech.

    Raises:
        SpeechError: As corpora and targets have it.
    """
    began = time.perf_counter()
    corpus = open_corpus(wish.corpus)
    # The filters are for speech.
    noises, rooms = ([one.samples() for one in corpus.of_kind(kind)] for kind in ("noise", "rir"))
    ways = families(noises, rooms)
    if wish.quick:
        ways = tuple(family for family in ways if family.name in _QUICK_FAMILIES)
    recordings = chosen(wish.selection.of(corpus.utterances), 1 if wish.quick else wish.per_language, _MAX_S)
    if not recordings:
        raise SpeechError(
            ErrorCode.INVALID_REQUEST, f"No recording of {_MAX_S:.0f} s or less with a text is left by the filters."
        )
    planned = trials(recordings, ways)
    async with opened(wish, settings, search=Search(beam=_BEAM)) as target:
        runner = Runner(Cache(cache_dir()), wish.parallel)
        with track("Recognising damaged speech", len(planned)) as advance:
            results = await measure(planned, target.transcriber, runner, seed=wish.seed, advance=lambda: advance(1))
    curves = Curves(results, ways)
    recorded = [
        f"{len(noises)} noises" if noises else "noise made up",
        f"{len(rooms)} rooms" if rooms else "rooms made up",
    ]
    notes = [f"Of the corpus: {', '.join(recorded)}. Beam {_BEAM}."]
    if runner.remembered:
        notes.append(f"{runner.remembered} answers are of earlier runs of the same target.")
    took_s = time.perf_counter() - began
    return Findings(
        sections=(curves.section(took_s, notes, seed=wish.seed),),
        samples=tuple(curves.samples()),
        models=target.models,
        options={"robustness beam": str(_BEAM), "robustness recordings a language": str(wish.per_language)},
    )


ROBUSTNESS: Final = Area(
    name="robustness", title="Robustness", needs=frozenset({Ability.RECOGNISE}), measure=evaluate_robustness
)
