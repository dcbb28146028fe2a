"""The same recordings, damaged in every way, recognised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Final

import numpy as np
from msgspec import Struct

from evals.asr.recognition import Recording, recognise
from evals.corpora.utterance import Utterance
from evals.decoding import wav
from evals.robustness.degradations import Degradation, Family
from evals.runner import Failure, Runner
from evals.targets.base import Heard, Transcriber
from evals.turns.corpus import rng_of
from schemas.audio import Samples

CLEAN: Final = "clean"
_LATELY: Final = 32
"""Damaged recordings in memory: each is looked at when it is looked up, and when it is sent."""


class Trial(Struct, frozen=True, eq=False):
    """A recording under one degradation."""

    utterance: Utterance
    family: str
    """Empty, with the label :data:`CLEAN`, for the recording as it is."""
    degradation: Degradation

    @property
    def label(self) -> str:
        """Of the degradation."""
        return self.degradation.label

    def samples(self, seed: int) -> Samples:
        """As it arrives. The draws are those of the recording: a curve differs from strength to strength by these."""
        rng = rng_of(seed, f"{self.utterance.id} {self.family}")
        return self.degradation.damage(self.utterance.samples(), rng)


class Result(Struct, frozen=True, eq=False):
    """What became of it."""

    trial: Trial
    heard: Heard | Failure


def chosen(utterances: Sequence[Utterance], per_language: int, max_s: float) -> list[Utterance]:
    """So many of each language that have a text and are not long, spread over those that there are."""
    found: list[Utterance] = []
    fitting = [one for one in utterances if one.text and one.kind == "utterance" and one.duration_s <= max_s]
    for language in dict.fromkeys(one.language for one in fitting):
        these = [one for one in fitting if one.language == language]
        places = np.linspace(0, len(these) - 1, min(per_language, len(these))).round().astype(int)
        found += [these[place] for place in dict.fromkeys(places.tolist())]
    return found


def trials(utterances: Sequence[Utterance], families: Sequence[Family]) -> list[Trial]:
    """Every recording as it is, and under every degradation."""
    ways = [("", Degradation(CLEAN, lambda samples, _rng: samples))]
    ways += [(family.name, one) for family in families for one in family.degradations]
    return [Trial(utterance, name, one) for name, one in ways for utterance in utterances]


async def measure(
    planned: Sequence[Trial],
    transcriber: Transcriber,
    runner: Runner,
    *,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Have all of them recognised.

    Args:
        planned: From :func:`trials`.
        transcriber: Is told the language of each.
        runner: Keeps what was recognised.
        seed: Draws.
        advance: Called after each.
    """

    @lru_cache(maxsize=_LATELY)
    def load(number: int) -> bytes:
        return wav(planned[number].samples(seed))

    recordings = [
        Recording(
            id=f"{one.utterance.id} {one.family} {one.label}", load=partial(load, n), language=one.utterance.language
        )
        for n, one in enumerate(planned)
    ]
    heard = await recognise(recordings, transcriber, runner, advance)
    return [Result(trial, found) for trial, found in zip(planned, heard, strict=True)]
