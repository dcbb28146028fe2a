"""Memory: giving it back to the system, and knowing when a device has none left.

glibc keeps what engines have freed, in case they want it again, in as many places as there are threads: under load a
server held 700 MB of it, more with each hour, beside 300 MB in use. So there are fewer places, buffers of large tensors
go back as soon as they are free, and the rest when the engines have come to rest, or have not for long. What that saves
and costs: docs/adr/0039-memory-goes-back.md.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Final, cast

_OUT_OF_MEMORY: Final = ("out of memory", "failed to allocate memory", "status_alloc_failed", "bad_alloc")
_ARENAS: Final = -8
"""``M_ARENA_MAX`` of glibc's ``malloc.h``: heaps that threads share; eight for each core, if nobody says otherwise."""
_MAPPED_FROM: Final = -3
"""``M_MMAP_THRESHOLD``: blocks of at least so many bytes are mapped one by one. By itself it rises to 32 MB, so that
every tensor leaves a hole."""
_MAPPED_FROM_BYTES: Final = 4_000_000
_OPERATORS_OWN: Final = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_little_freed_memory() -> None:
    """Set glibc's bounds on what it keeps, for the whole process; threads that run already keep their heaps.

    Nothing happens where the environment has settings for it, or another allocator, or the C library is not glibc.
    """
    if any(name.startswith(_OPERATORS_OWN) for name in os.environ):
        return
    if (set_option := _of_glibc("mallopt")) is not None:
        set_option(_ARENAS, os.cpu_count() or 1)
        set_option(_MAPPED_FROM, _MAPPED_FROM_BYTES)


def give_back_freed_memory() -> None:
    """Return freed memory to the system; takes milliseconds. Nothing happens where the C library is not glibc."""
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
