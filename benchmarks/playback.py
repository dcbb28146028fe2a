"""A loudspeaker, simulated: when does it run dry?"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class Playback(Struct, frozen=True):
    """How the playing of one stream went."""

    gaps: int
    silent_s: float
    """How long, in all, nothing was there to play."""


def played(arrivals: Sequence[tuple[float, float]]) -> Playback:
    """Play from the first arrival on, without any buffer ahead.

    Args:
        arrivals: When audio arrived, and how many seconds of it there were in all by then; rising.

    Raises:
        ValueError: Nothing arrived.
    """
    if not arrivals:
        raise ValueError("there is nothing to play")
    ready_at_s, have_s = arrivals[0]
    dry_at_s = ready_at_s + have_s
    gaps, silent_s = 0, 0.0
    for at_s, total_s in arrivals[1:]:
        if at_s > dry_at_s:
            gaps += 1
            silent_s += at_s - dry_at_s
            dry_at_s = at_s
        dry_at_s += total_s - have_s
        have_s = total_s
    return Playback(gaps, silent_s)
