"""The machine: its cores and how they are shared out, what is installed, whether anyone else is at work."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Protocol, cast

import anyio
import psutil
from msgspec import Struct

from benchmarks.report import Conditions
from evals.environment import commit, cpu

_PACKAGES: Final = ("antiphon", "ctranslate2", "faster-whisper", "onnxruntime", "piper-tts", "uvicorn", "websockets")
_OTHERS_S: Final = 2.0
_LOOK_S: Final = 0.1
_IDLE_SHARE: Final = 0.2
"""Of a core: servers have timers."""
_IDLE_WITHIN_S: Final = 15.0
_GPU_S: Final = 10.0


class Cores(Struct, frozen=True):
    """Numbers of processors, as ``taskset`` counts them."""

    engines: tuple[int, ...]
    """For whatever computes: all of them, since the load generator mostly waits."""
    one: tuple[int, ...]
    """For a server that is to have a core of its own."""
    generator: tuple[int, ...]
    """For the load generator, beside such a server."""


def cores() -> Cores:
    """How the cores this process may use are shared out."""
    usable = _usable()
    return Cores(usable, usable[:1], usable[-1:])


def pinned(command: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """The command, kept to these cores; where there is no ``taskset``, as it was."""
    if shutil.which("taskset") is None:
        return list(command)
    return ["taskset", "--cpu-list", ",".join(map(str, numbers)), *command]


def pin_this_process(numbers: Sequence[int]) -> None:
    """Keep this process to these cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, numbers)


class MemoryOf(Protocol):
    """What psutil tells of a process's memory on Linux."""

    pss: int
    uss: int


def memory_bytes(pid: int) -> int:
    """Memory of a process and its children: their proportional set size; where there is none, what only they have."""
    process = psutil.Process(pid)
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            found = cast("MemoryOf", one.memory_full_info())
        except psutil.NoSuchProcess:
            continue
        total += getattr(found, "pss", found.uss)
    return total


def processor_s(pids: Sequence[int]) -> float:
    """Processor time that processes have used so far, without their children."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(one.user + one.system for one in times)


async def idle(pids: Sequence[int]) -> None:
    """Wait, within bounds, until these processes compute nothing: what one side left to do must not slow the other."""
    with anyio.move_on_after(_IDLE_WITHIN_S):
        before_s = processor_s(pids)
        while True:
            await anyio.sleep(_LOOK_S)
            now_s = processor_s(pids)
            if now_s - before_s <= _IDLE_SHARE * _LOOK_S:
                return
            before_s = now_s


def conditions(*, device: str, compute_type: str, quick: bool) -> Conditions:
    """What there is to know before a section begins."""
    return Conditions(
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit() or "unknown",
        cpu=cpu(),
        cores=len(_usable()),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        python=platform.python_version(),
        versions={name: found for name in _PACKAGES if (found := _version(name))},
        others_load=round(psutil.cpu_percent(_OTHERS_S) / 100 * (psutil.cpu_count() or 1), 2),
        device=device,
        compute_type=compute_type,
        quick=quick,
        gpu=_gpu(device),
    )


def _usable() -> tuple[int, ...]:
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _gpu(device: str) -> str:
    """Its name; ``CUDA_VISIBLE_DEVICES`` is not looked at."""
    kind, _, index = device.partition(":")
    asks = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader", f"--id={index or 0}"]
    if kind != "cuda" or shutil.which(asks[0]) is None:
        return ""
    try:
        return subprocess.run(asks, capture_output=True, text=True, check=True, timeout=_GPU_S).stdout.strip()
    except subprocess.SubprocessError:
        return ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
