"""Memory: how glibc keeps it, giving it back to the system, and knowing when a device has none left.

glibc keeps what engines have freed, in case they want it again, in up to eight heaps for each core: under load a server
held 840 MB of it, more with each hour, beside 300 MB in use. So there are fewer heaps, large blocks are mapped by
themselves, in pages of 2 MB, and heaps are emptied when the engines have come to rest, or have not for a while. What
that saves and costs: ADR 0039 and 0043.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from platform import libc_ver
from typing import Final, cast

from engines.cores import usable_cores

_OUT_OF_MEMORY: Final = ("out of memory", "failed to allocate memory", "status_alloc_failed", "bad_alloc")
_LARGE_PAGES: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_LARGE_BYTES: Final = 4 * 2**20
"""From that size on blocks are mapped by themselves, and unmapped when they are freed: heaps keep nothing of them."""
_KNOWS_LARGE_PAGES: Final = (2, 35)
"""glibc, from that version on."""
_OPERATORS_OWN: Final = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")


def glibc_tunables() -> str:
    """What ``GLIBC_TUNABLES`` is to be when a process begins that runs engines; empty for what there is.

    Heaps are as many as cores. Large blocks are mapped by themselves where pages of 2 MB can be had: in smaller ones it
    takes a fifth of an upload's time to map and clear them. Nothing is said where the environment has settings of its
    own, or another allocator, or the C library is not glibc.
    """
    version = _glibc_version()
    if version is None or any(name.startswith(_OPERATORS_OWN) for name in os.environ):
        return ""
    heaps = f"glibc.malloc.arena_max={usable_cores()}"
    if version < _KNOWS_LARGE_PAGES or not _has_large_pages():
        return heaps
    return f"{heaps}:glibc.malloc.mmap_threshold={_LARGE_BYTES}:glibc.malloc.hugetlb=1"


def _glibc_version() -> tuple[int, int] | None:
    name, version = libc_ver()
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if name == "glibc" and found else None


def _has_large_pages() -> bool:
    try:
        return "[never]" not in _LARGE_PAGES.read_text("ascii")
    except OSError:
        return False


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
