"""What a session does with a pause, for the evaluation harness: the models' answers in, a decision out.

The turn core does the same as audio comes in (:mod:`session.turn_end`); here all answers are there at once. What
policies as set decide with is what a session would have by then; the sweep takes each score as soon as it is heard, as
eot-bench does. Each pause is judged alone: what a session learns from others is not in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from evals.turns.endpoint_figures import Ours
from evals.turns.endpointing import Fire, silence_alone
from evals.turns.pauses import Pause
from schemas.sessions import TurnProfile, TurnSettings
from session.deadline import PAUSE_MIN_MS, UNHEARD_MS, deadline_ms
from session.end_of_turn import (
    WEIGHTS,
    EndOfTurnFeatures,
    EndOfTurnWeights,
    end_of_turn_features,
    merged_score,
    pause_probability,
    probability,
)
from session.hypothesis import word_key
from session.lexicons import text_cues
from session.turn_end import reached_ms

_PROFILES: Final = (TurnProfile.BALANCED, TurnProfile.FAST, TurnProfile.PATIENT)
"""Those that are compared, beside the one that is asked for."""
ANSWER_MS: Final = 16
"""From the silence at which an answer is recorded until a session acts on it, about: it asks at the ends of frames, a
little before 200, 300 and 400 ms, and on an idle machine has the answer with the next frame. What is heard at 400 ms
comes too late for what is decided at 400 ms."""


def features_of(pause: Pause, weights: EndOfTurnWeights) -> list[tuple[int, EndOfTurnFeatures]]:
    """What is known of a pause when the turn detector has just answered, and after how many milliseconds it has."""
    cues, kept = text_cues(pause.text, pause.language, pause.sentence_end), stability(pause)
    found: list[tuple[int, EndOfTurnFeatures]] = []
    heard: float | None = None
    for score in pause.ours:
        heard = merged_score(heard, score.probability, weights)
        found.append((score.silence_ms, end_of_turn_features(heard, cues, score.silence_ms, kept)))
    return found


def stability(pause: Pause) -> float:
    """Share of the words understood before the silence that are still understood in it; 1 without words before."""
    before, after = (Counter(map(word_key, text.split())) for text in (pause.earlier_text, pause.text))
    return (before & after).total() / before.total() if before else 1.0


def our_policy(settings: TurnSettings | None = None, weights: EndOfTurnWeights = WEIGHTS) -> Ours:
    """The policies of this version's sessions.

    Args:
        settings: The policy under test; the others are the same with another profile.
        weights: Of the probability.
    """
    ours = settings or TurnSettings()

    def scores(pause: Pause) -> Sequence[tuple[int, float]]:
        known = features_of(pause, weights)
        return [(silence_ms, probability(features, weights)) for silence_ms, features in known]

    profiles = dict.fromkeys((ours.profile, *_PROFILES))
    return Ours(scores, {each.value: _fire(replace(ours, profile=each), weights) for each in profiles})


def _fire(settings: TurnSettings, weights: EndOfTurnWeights) -> Fire:
    if settings.silence_duration_ms is not None:
        return silence_alone(reached_ms(max(settings.silence_duration_ms, settings.offset_ms)))

    def fire(pause: Pause) -> float:
        cues = text_cues(pause.text, pause.language)
        wait_ms = reached_ms(UNHEARD_MS)
        known = features_of(pause, weights)
        for number, (silence_ms, features) in enumerate(known, start=1):
            likely = pause_probability(features, weights)
            limit_ms = deadline_ms(likely, cues, PAUSE_MIN_MS, settings, weights.deadlines)
            wait_ms = max(reached_ms(limit_ms), silence_ms + ANSWER_MS)
            if number < len(known) and wait_ms < known[number][0] + ANSWER_MS:
                break
        return wait_ms

    return fire
