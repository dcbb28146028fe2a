"""What a session does with a pause, for the evaluation harness: the models' answers in, a decision out.

The turn core does the same as audio comes in (:mod:`session.user_side`); here all answers are there at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from evals.endpoint_figures import Ours
from evals.pauses import Pause

_SCORE_EVERY_MS: Final = 200
"""As the core asks."""
_THRESHOLD: Final = 0.5
_MIN_SILENCE_MS: Final = 600
_MAX_SILENCE_MS: Final = 1_600
"""The defaults of a session's turn settings."""


def our_policy() -> Ours:
    """The policy of this version's sessions, with their defaults."""

    def scores(pause: Pause) -> Sequence[tuple[int, float]]:
        return [(one.silence_ms, one.probability) for one in pause.scores if not one.silence_ms % _SCORE_EVERY_MS]

    def fire(pause: Pause) -> float:
        """Silence that ends the turn by the newest score, looked at again with each."""
        wait_ms = float(_MAX_SILENCE_MS)
        for silence_ms, score in scores(pause):
            if silence_ms > wait_ms:
                return wait_ms
            is_complete = score >= _THRESHOLD
            limit_ms = _MIN_SILENCE_MS if is_complete else _MAX_SILENCE_MS
            wait_ms = max(float(silence_ms), limit_ms)
        return wait_ms

    return Ours(scores, {"default": fire})
