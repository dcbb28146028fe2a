"""How likely the user is done: what the turn detector hears, what the words say, and how long silence has lasted.

A logistic model of eight features, ``p = σ(bias + w · features)``. Its weights are data with a version, fitted to the
calibration split of the dialogue simulator: ``end_of_turn_weights.json``.
"""

from __future__ import annotations

import math
from importlib import resources
from typing import Final

from msgspec import Struct, json
from msgspec.structs import replace

from session.deadline import BY_HAND, Deadlines
from session.lexicons import TextCues

MAX_LOGIT: Final = 5.0
"""The turn detector is at times very sure and wrong: beyond 0.7 % and 99.3 % it has no more to say."""
MAX_SILENCE_S: Final = 3.0
MAX_WORDS: Final = 20
"""Longer turns are no likelier to be over."""
_SENTENCE: Final = 0.5
"""A recogniser ends most texts with a full stop: that is half of what a whole answer is worth."""


class EndOfTurnFeatures(Struct, frozen=True):
    """What is known of one pause."""

    audio_logit: float
    """Logit of the turn detector's probability, within ±:data:`MAX_LOGIT`; 0 without one."""
    text_complete: float
    """1 for a short answer that needs nothing more, 0.5 for a text that ends as a sentence does, else 0."""
    trailing_open: float
    """1 if the text ends in a filler, a conjunction or the like."""
    silence_s: float
    """Since the last voiced audio, at most :data:`MAX_SILENCE_S`."""
    stability: float
    """Share of the words that will not change any more, 0 to 1; 0 without words."""
    question: float
    """1 if the text ends as a question does."""
    length: float
    """Natural logarithm of 1 + the words so far, of :data:`MAX_WORDS` at most: a turn is held early, and ends late."""
    sentence_end: float
    """How much likelier than usual a sentence ends behind the text, natural logarithm of odds; 0 where nobody knows."""


class EndOfTurnWeights(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One fit of the model, and what is made of it. Logs of versions that had less of it replay with the defaults."""

    version: str
    report: str
    """Where the fit and its scores are written down."""
    bias: float
    audio_logit: float
    text_complete: float
    trailing_open: float
    silence_s: float
    stability: float
    question: float
    length: float
    sentence_end: float = 0.0
    least_score: bool = False
    """Whether the least of the turn detector's answers about a pause counts, not the newest."""
    score_memory: float = 0.0
    """Weight of its answers before against the newest."""
    waits_again: bool = False
    """Whether a turn that was taken for over and went on waits as long again before it may end."""
    deadlines: Deadlines = BY_HAND
    pause_s: float | None = None
    """Deadlines go by the probability after so much silence, since silence is what they count themselves: else what is
    not likely over becomes so by being waited for. ``None`` takes the silence there is."""


WEIGHTS: Final = json.decode(
    resources.files("session").joinpath("end_of_turn_weights.json").read_bytes(), type=EndOfTurnWeights
)
"""Those that come with this version."""


def end_of_turn_features(
    audio_probability: float | None, cues: TextCues | None, silence_ms: float, stability: float
) -> EndOfTurnFeatures:
    """The features of a pause.

    Args:
        audio_probability: The turn detector's; ``None`` without one.
        cues: Those of the text up to the pause (:func:`session.lexicons.text_cues`); ``None`` if it is not known yet.
        silence_ms: Since the last voiced audio.
        stability: Share of the text's words that will not change any more.
    """
    known = cues is not None and cues.words > 0
    return EndOfTurnFeatures(
        audio_logit=0.0 if audio_probability is None else _logit(audio_probability),
        text_complete=_completeness(cues) if cues is not None and known else 0.0,
        trailing_open=float(cues is not None and cues.trailing_open),
        silence_s=min(silence_ms / 1000, MAX_SILENCE_S),
        stability=stability if known else 0.0,
        question=float(cues is not None and cues.question),
        length=math.log1p(min(cues.words, MAX_WORDS)) if cues is not None else 0.0,
        sentence_end=cues.sentence_end if cues is not None else 0.0,
    )


def probability(features: EndOfTurnFeatures, weights: EndOfTurnWeights) -> float:
    """That the user is done, 0 to 1."""
    score = (
        weights.bias
        + weights.audio_logit * features.audio_logit
        + weights.text_complete * features.text_complete
        + weights.trailing_open * features.trailing_open
        + weights.silence_s * features.silence_s
        + weights.stability * features.stability
        + weights.question * features.question
        + weights.length * features.length
        + weights.sentence_end * features.sentence_end
    )
    return 1 / (1 + math.exp(-score))


def merged_score(before: float | None, newest: float | None, weights: EndOfTurnWeights) -> float | None:
    """What the turn detector's answers about a pause come to.

    Args:
        before: What they came to before the newest; ``None`` without one.
        newest: ``None`` if it has failed.
        weights: Which say how.
    """
    if before is None or newest is None:
        return newest
    if weights.least_score:
        return min(before, newest)
    return weights.score_memory * before + (1 - weights.score_memory) * newest


def pause_probability(features: EndOfTurnFeatures, weights: EndOfTurnWeights) -> float:
    """That the user is done, as deadlines have it."""
    if weights.pause_s is None:
        return probability(features, weights)
    return probability(replace(features, silence_s=weights.pause_s), weights)


def _logit(value: float) -> float:
    if not 0 < value < 1:
        return math.copysign(MAX_LOGIT, value - 0.5)
    return min(max(math.log(value / (1 - value)), -MAX_LOGIT), MAX_LOGIT)


def _completeness(cues: TextCues) -> float:
    if cues.complete:
        return 1.0
    return _SENTENCE if cues.sentence and not cues.trailing_open else 0.0
