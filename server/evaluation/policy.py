"""What a session does with a pause, for the evaluation harness: the models' answers in, a decision out.

The turn core does the same as audio comes in (:mod:`session.user_side`); here all answers are there at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from evals.endpoint_figures import Ours
from evals.pauses import Pause
from schemas.sessions import TurnSettings

_SCORE_EVERY_MS: Final = 200
"""As the core asks."""


def our_policy() -> Ours:
    """The policy of this version's sessions, with their defaults."""
    settings = TurnSettings()

    def scores(pause: Pause) -> Sequence[tuple[int, float]]:
        return [(one.silence_ms, one.probability) for one in pause.scores if not one.silence_ms % _SCORE_EVERY_MS]

    def fire(pause: Pause) -> float:
        """Silence that ends the turn by the newest score, looked at again with each."""
        wait_ms = float(settings.max_silence_ms)
        for silence_ms, score in scores(pause):
            if silence_ms > wait_ms:
                return wait_ms
            is_complete = score >= settings.end_of_turn_threshold
            limit_ms = settings.min_silence_ms if is_complete else settings.max_silence_ms
            wait_ms = max(float(silence_ms), limit_ms)
        return wait_ms

    return Ours(scores, {"default": fire})
