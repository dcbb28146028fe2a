"""Giving freed memory back to the system.

The C library keeps what engines have freed, in case they want it again: after an hour of talk a server that does
nothing holds hundreds of megabytes of it. It is asked to give them back when the engines have come to rest.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from typing import cast


def give_back_freed_memory() -> None:
    """Return freed memory to the system; takes milliseconds. Nothing happens where the C library is not glibc."""
    if (trim := _malloc_trim()) is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    return cast("Callable[[int], int] | None", getattr(ctypes.CDLL(None), "malloc_trim", None))
