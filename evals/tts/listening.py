"""What can be told of speech without understanding it: how it arrived, and whether it is clipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from schemas.audio import Samples

GAP_S: Final = 0.02
"""Shorter silences are not heard as such."""
_AT_LIMIT: Final = 0.999
_FLAT_SAMPLES: Final = 3
"""So many in a row at the limit are a wave that was cut off; one or two are a peak that touches it."""


def gaps_s(arrivals: Sequence[tuple[float, float]]) -> list[float]:
    """How long a listener who plays from the first sound on, with nothing held back, hears nothing, each time.

    Args:
        arrivals: When audio was there, and how many seconds of it in all by then; rising.
    """
    found: list[float] = []
    dry_at_s = have_s = 0.0
    for number, (at_s, total_s) in enumerate(arrivals):
        if number and at_s - dry_at_s > GAP_S:
            found.append(at_s - dry_at_s)
        dry_at_s = max(dry_at_s, at_s) + total_s - have_s if number else at_s + total_s
        have_s = total_s
    return found


def clipped_runs(samples: Samples) -> int:
    """How often the wave is cut off at full scale.

    Args:
        samples: ``float32, (n,)``, full scale is 1.
    """
    flat = np.abs(samples) >= _AT_LIMIT
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flat, [False])).astype(np.int8)))
    return int(np.sum(edges[1::2] - edges[::2] >= _FLAT_SAMPLES))
