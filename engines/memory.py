"""Memory: giving it back to the system, and knowing when a device has none left.

glibc keeps what engines have freed, in case they want it again, in up to eight heaps for each core: under load a server
held 840 MB of it, more with each hour, beside 300 MB in use. So there are fewer heaps, and they are emptied when the
engines have come to rest, or have not for a while. What that saves and costs: ADR 0039.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Final, cast

from engines.cores import usable_cores

_OUT_OF_MEMORY: Final = ("out of memory", "failed to allocate memory", "status_alloc_failed", "bad_alloc")
_M_ARENA_MAX: Final = -8
"""Of glibc's ``malloc.h``: heaps that threads share."""
_OPERATORS_OWN: Final = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")


def share_heaps() -> None:
    """Have glibc keep freed memory in as many heaps as there are cores; to be called before there are more than eight.

    Nothing happens where the environment has settings for it, or another allocator, or the C library is not glibc.
    """
    if any(name.startswith(_OPERATORS_OWN) for name in os.environ):
        return
    if (set_option := _of_glibc("mallopt")) is not None:
        set_option(_M_ARENA_MAX, usable_cores())


def give_back_freed_memory() -> None:
    """Return freed memory to the system; takes up to 60 ms, and locks one heap after the other.

    Nothing happens where the C library is not glibc.
    """
    if (trim := _of_glibc("malloc_trim")) is not None:
        trim(0)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an engine's library says that the device's memory is full.

    In the words of CTranslate2 (“CUDA failed with error out of memory”), of torch (“CUDA out of memory.”), of ONNX
    Runtime (“Failed to allocate memory for requested buffer”) and of cuBLAS and cuDNN beneath them.
    """
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY)


@cache
def _of_glibc(name: str) -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    return cast("Callable[..., int] | None", getattr(ctypes.CDLL(None), name, None))
