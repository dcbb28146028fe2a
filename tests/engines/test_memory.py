from __future__ import annotations

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


_FREE_LARGE_BLOCKS = """
import numpy as np
from pathlib import Path
from engines.memory import keep_little_freed_memory

def resident_bytes():
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4096

keep_little_freed_memory()
for _ in range(3):  # glibc raises its bound when a block of its own is freed
    np.ones(2_500_000, np.float32)
pairs = [(np.ones(1_250_000, np.float32), np.ones(2_000, np.float32)) for _ in range(40)]
small = [pair[1] for pair in pairs]
full_bytes = resident_bytes()
del pairs
print(full_bytes - resident_bytes())
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux' /proc")
@pytest.mark.parametrize(
    ("setting", "goes_back"), [({}, True), ({"MALLOC_MMAP_THRESHOLD_": "33554432"}, False)], ids=["ours", "operator's"]
)
def test_large_blocks_go_back_at_once_unless_the_operator_says_otherwise(
    setting: dict[str, str], goes_back: bool
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "LD_PRELOAD"))}
    done = subprocess.run(
        [sys.executable, "-c", _FREE_LARGE_BLOCKS], env={**environment, **setting}, capture_output=True, check=True
    )
    freed_bytes = int(done.stdout)
    assert freed_bytes > 180_000_000 if goes_back else freed_bytes < 20_000_000


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
