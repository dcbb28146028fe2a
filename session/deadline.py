"""How long silence must last before a turn is over.

The likelier the end, the sooner. Everything is counted from the last voiced audio.
"""

from __future__ import annotations

from typing import Final

from schemas.sessions import TurnProfile, TurnSettings
from session.lexicons import TextCues

Deadlines = tuple[tuple[float, int], ...]
"""From this probability of an end, so much silence in milliseconds; the likeliest first, the last one from 0. They go
with the weights that make the probability, and are kept with them: :mod:`session.end_of_turn`."""
BY_HAND: Final[Deadlines] = ((0.80, 300), (0.50, 600), (0.30, 1_100), (0.0, 2_500))
"""People answer each other after 200 ms (Stivers et al. 2009), and pause within a turn for a second and more."""
COMPLETE_MS: Final = 600
"""A greeting, a yes or a no ends by then: turn detectors score some of them low however long silence lasts."""
UNHEARD_MS: Final = 600
"""At least so much while the turn detector has not answered."""
SPELLING_FLOOR_MS: Final = 1_500
SPELLING_CEILING_MS: Final = 4_000
"""Digits and letters are said in groups, and each group sounds like an end."""

PAUSE_MIN_MS: Final = 300
PAUSE_MAX_MS: Final = 1_200
PAUSE_MEMORY: Final = 0.9
"""Weight of what was known of a user's pauses against a new one."""

_PACE: Final = {
    TurnProfile.FAST: 0.7,
    TurnProfile.BALANCED: 1.0,
    TurnProfile.PATIENT: 1.6,
    TurnProfile.DICTATION: 1.6,
}


def deadline_ms(
    probability: float, cues: TextCues | None, pause_ms: float, settings: TurnSettings, deadlines: Deadlines
) -> int:
    """Silence that ends a turn.

    Args:
        probability: Fused probability of an end (:mod:`session.end_of_turn`).
        cues: Of the text; ``None`` if it is not known.
        pause_ms: What the user's pauses have taught (:func:`learned_pause_ms`).
        settings: The profile; ``silence_duration_ms`` decides alone.
        deadlines: Those that go with the probability.
    """
    if settings.silence_duration_ms is not None:
        return settings.silence_duration_ms
    silence_ms = next(ms for least, ms in deadlines if probability >= least)
    if settings.profile is TurnProfile.DICTATION or (cues is not None and cues.spelled):
        patient_ms = round(_PACE[TurnProfile.DICTATION] * silence_ms)
        return min(max(patient_ms, SPELLING_FLOOR_MS), SPELLING_CEILING_MS)
    if cues is not None and cues.complete:
        silence_ms = min(silence_ms, COMPLETE_MS)
    return round(_PACE[settings.profile] * max(silence_ms, pause_ms))


def floor_ms(settings: TurnSettings, deadlines: Deadlines) -> int:
    """No turn ends by silence before."""
    return deadline_ms(1.0, None, PAUSE_MIN_MS, settings, deadlines)


def learned_pause_ms(known_ms: float, pause_ms: float) -> float:
    """What is known of a user's pauses after one that was taken for an end."""
    average_ms = PAUSE_MEMORY * known_ms + (1 - PAUSE_MEMORY) * pause_ms
    return min(max(average_ms, PAUSE_MIN_MS), PAUSE_MAX_MS)
