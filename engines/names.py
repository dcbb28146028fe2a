"""Names in messages: short, whatever the caller sent and however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_MAX_NAMES: Final = 10
_MAX_CHARS: Final = 64


def some(names: Sequence[str]) -> str:
    """The first ten names, and how many more there are."""
    shown = ", ".join(names[:_MAX_NAMES])
    more = len(names) - _MAX_NAMES
    return f"{shown} and {more} more" if more > 0 else shown or "none"


def quoted(name: str) -> str:
    """A caller's name for something, cut if it is long."""
    return repr(name if len(name) <= _MAX_CHARS else name[:_MAX_CHARS] + "…")
