"""What a session does with a pause, for the evaluation harness: the models' answers in, a decision out.

The turn core does the same as audio comes in (:mod:`session.turn_end`); here all answers are there at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from evals.turns.endpoint_figures import Ours
from evals.turns.endpointing import Fire
from evals.turns.pauses import Pause, Score
from schemas.sessions import TurnProfile, TurnSettings
from session.deadline import PAUSE_MIN_MS, UNHEARD_MS, deadline_ms
from session.end_of_turn import (
    WEIGHTS,
    EndOfTurnFeatures,
    EndOfTurnWeights,
    end_of_turn_features,
    probability,
)
from session.hypothesis import word_key
from session.lexicons import text_cues

_PROFILES: Final = (TurnProfile.BALANCED, TurnProfile.FAST, TurnProfile.PATIENT)


def features_of(pause: Pause, score: Score) -> EndOfTurnFeatures:
    """What is known of a pause when the turn detector has just answered."""
    cues = text_cues(pause.text, pause.language)
    return end_of_turn_features(score.probability, cues, score.silence_ms, stability(pause))


def stability(pause: Pause) -> float:
    """Share of the words understood before the silence that are still understood in it; 1 without words before."""
    before, after = (Counter(map(word_key, text.split())) for text in (pause.earlier_text, pause.text))
    return (before & after).total() / before.total() if before else 1.0


def our_policy(weights: EndOfTurnWeights = WEIGHTS) -> Ours:
    """The policies of this version's sessions, with these weights."""

    def scores(pause: Pause) -> Sequence[tuple[int, float]]:
        return [(one.silence_ms, probability(features_of(pause, one), weights)) for one in pause.scores]

    return Ours(scores, {profile.value: _fire(profile, weights) for profile in _PROFILES})


def _fire(profile: TurnProfile, weights: EndOfTurnWeights) -> Fire:
    settings = TurnSettings(profile=profile)

    def fire(pause: Pause) -> float:
        cues = text_cues(pause.text, pause.language)
        wait_ms = float(UNHEARD_MS)
        for number, one in enumerate(pause.scores, start=1):
            likely = probability(features_of(pause, one), weights)
            wait_ms = max(deadline_ms(likely, cues, PAUSE_MIN_MS, settings), one.silence_ms)
            if number < len(pause.scores) and wait_ms < pause.scores[number].silence_ms:
                break
        return wait_ms

    return fire
