from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engines.memory import give_back_freed_memory, is_out_of_memory


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux' /proc")
def test_what_was_freed_in_small_pieces_goes_back_to_the_system() -> None:
    pieces = [np.ones(8_000, np.float32) for _ in range(6_000)]
    keep = pieces[::500]
    full_bytes = resident_bytes()
    del pieces
    give_back_freed_memory()
    assert full_bytes - resident_bytes() > 100_000_000
    assert len(keep) == 12


_ALLOCATE_IN_THREADS = """
import ctypes, os, threading
from engines.memory import share_heaps

os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
share_heaps()
libc = ctypes.CDLL(None)
here, done = threading.Barrier(9), threading.Event()

def allocate():
    libc.malloc(1000)
    here.wait()
    done.wait()

for _ in range(8):
    threading.Thread(target=allocate, daemon=True).start()
here.wait()
stream = ctypes.c_void_p.in_dll(libc, "stdout")
libc.malloc_info(0, stream)
libc.fflush(stream)
done.set()
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="heaps are those of glibc")
@pytest.mark.parametrize(
    ("setting", "heaps"), [({}, 1), ({"MALLOC_ARENA_MAX": "4"}, 4)], ids=["ours, one core", "operator's"]
)
def test_there_are_as_many_heaps_as_cores_unless_the_operator_says_otherwise(
    setting: dict[str, str], heaps: int
) -> None:
    operators = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(operators)}
    done = subprocess.run(
        [sys.executable, "-c", _ALLOCATE_IN_THREADS],
        env={**environment, **setting},
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.count("<heap nr=") == heaps


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA failed with error out of memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("[ONNXRuntimeError] : 1 : FAIL : Failed to allocate memory for requested buffer of size 1024"),
        RuntimeError("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED"),
        MemoryError(),
    ],
)
def test_each_library_is_understood_when_it_has_no_memory_left(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_other_failures_are_not_for_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("an illegal memory access was encountered"))
