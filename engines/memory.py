"""Memory: giving it back to the system, and knowing when a device has none left.

The C library keeps what engines have freed, in case they want it again: after an hour of talk a server that does
nothing holds hundreds of megabytes of it. It is asked to give them back when the engines have come to rest.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from typing import Final, cast

_OUT_OF_MEMORY: Final = ("out of memory", "failed to allocate memory", "status_alloc_failed", "bad_alloc")


def give_back_freed_memory() -> None:
    """Return freed memory to the system; takes milliseconds. Nothing happens where the C library is not glibc."""
    if (trim := _malloc_trim()) is not None:
        trim(0)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an engine's library says that the device's memory is full.

    In the words of CTranslate2 (“CUDA failed with error out of memory”), of torch (“CUDA out of memory.”), of ONNX
    Runtime (“Failed to allocate memory for requested buffer”) and of cuBLAS and cuDNN beneath them.
    """
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    return cast("Callable[[int], int] | None", getattr(ctypes.CDLL(None), "malloc_trim", None))
