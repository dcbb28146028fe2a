"""Voices mixed of others: ``af_heart:0.7+bf_emma:0.3``."""

from __future__ import annotations

import math
from typing import Final

from engines.names import quoted
from schemas.errors import ErrorCode, SpeechError

MAX_VOICES: Final = 4
Mix = tuple[tuple[str, float], ...]
"""Names and their shares, which add up to 1."""


def is_mix(name: str) -> bool:
    """Whether a name is to be read as a mix."""
    return "+" in name or ":" in name


def parse_mix(name: str) -> Mix:
    """The voices of a mix and their shares. A voice without a weight weighs 1.

    Raises:
        SpeechError: ``invalid_request``.
    """
    weights: dict[str, float] = {}
    for part in name.split("+"):
        voice, has_weight, weight = part.strip().partition(":")
        try:
            value = float(weight) if has_weight else 1.0
        except ValueError:
            value = math.nan
        if not voice.strip() or not 0.0 < value < math.inf:
            raise _unreadable(name)
        weights[voice.strip()] = weights.get(voice.strip(), 0.0) + value
    if len(weights) > MAX_VOICES:
        raise _unreadable(name)
    total = sum(weights.values())
    return tuple((voice, weight / total) for voice, weight in weights.items())


def format_mix(mix: Mix) -> str:
    """The one way to write a mix, to the thousandth."""
    return "+".join(f"{voice}:{share:.3g}" for voice, share in mix)


def _unreadable(name: str) -> SpeechError:
    return SpeechError(
        ErrorCode.INVALID_REQUEST,
        f"The voice {quoted(name)} is no mix. Write one to {MAX_VOICES} names with positive weights, as in "
        "af_heart:0.7+bf_emma:0.3.",
        param="voice",
    )
