from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engines import memory
from engines.memory import give_back_freed_memory, glibc_tunables, is_out_of_memory


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


_ALLOCATE = """
import ctypes, threading
from pathlib import Path

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
here, done = threading.Barrier(9), threading.Event()

def allocate():
    libc.malloc(1000)
    here.wait()
    done.wait()

for _ in range(8):
    threading.Thread(target=allocate, daemon=True).start()
here.wait()
large = libc.malloc(16 * 2**20)
ctypes.memset(large, 1, 16 * 2**20)
stream = ctypes.c_void_p.in_dll(libc, "stdout")
libc.malloc_info(0, stream)
libc.fflush(stream)
for rollup in Path("/proc/self").glob("smaps_rollup"):
    print(rollup.read_text())
done.set()
"""
OPERATORS_OWN = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
ON_GLIBC = hasattr(ctypes.CDLL(None), "malloc_info")


@pytest.fixture
def as_glibc_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(OPERATORS_OWN):
            monkeypatch.delenv(name)


@pytest.mark.skipif(not ON_GLIBC, reason="heaps are those of glibc")
@pytest.mark.usefixtures("as_glibc_has_it")
def test_there_are_as_many_heaps_as_cores_and_large_blocks_have_large_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "usable_cores", lambda: 2)
    done = subprocess.run(
        [sys.executable, "-c", _ALLOCATE],
        env={**os.environ, "GLIBC_TUNABLES": glibc_tunables()},
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.count("<heap nr=") == 2
    for line in done.stdout.splitlines():
        if line.startswith("AnonHugePages:") and "hugetlb" in glibc_tunables():
            assert int(line.split()[1]) >= 8 * 1024  # kB; a system that is short of them may give fewer


@pytest.mark.skipif(not ON_GLIBC, reason="heaps are those of glibc")
@pytest.mark.usefixtures("as_glibc_has_it")
@pytest.mark.parametrize(
    ("version", "pages", "are_large"),
    [
        ("2.35", "always [madvise] never", True),
        ("3.0.git", "[always] madvise never", True),
        ("2.34", "[always] madvise never", False),
        ("2.36", "[never]", False),
    ],
)
def test_large_blocks_are_mapped_by_themselves_where_there_are_large_pages(
    version: str, pages: str, are_large: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "libc_ver", lambda: ("glibc", version))
    monkeypatch.setattr(memory, "_LARGE_PAGES", tmp_path / "enabled")
    (tmp_path / "enabled").write_text(f"{pages}\n", "ascii")
    assert ("hugetlb" in glibc_tunables()) == ("mmap_threshold" in glibc_tunables()) == are_large
    (tmp_path / "enabled").unlink()
    assert "hugetlb" not in glibc_tunables()


@pytest.mark.usefixtures("as_glibc_has_it")
@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_the_operators_own_settings_are_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert glibc_tunables() == ""


@pytest.mark.usefixtures("as_glibc_has_it")
def test_so_is_another_c_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "libc_ver", lambda: ("", ""))
    assert glibc_tunables() == ""


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
