"""Where a run was made: what there is to know to judge its figures."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from evals.report import Conditions
from evals.targets.address import address

_PACKAGES: Final = ("schemas", "engines", "session", "tools", "server", "evals")
_ENGINES: Final = ("av", "ctranslate2", "faster-whisper", "numpy", "onnxruntime", "piper-tts", "soxr")
"""Distributions that recognise, speak and decode."""


def conditions(
    target: str, seed: int, *, corpus: str = "", split: str = "", options: dict[str, str] | None = None
) -> Conditions:
    """Of a run that begins now; the models are known later."""
    return Conditions(
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        target=target,
        version=version("antiphon"),
        commit=commit(),
        corpus=corpus,
        options={**_times(target), **(options or {})},
        models={},
        cpu=cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        python=platform.python_version(),
        others_load=round(os.getloadavg()[0], 2),
        seed=seed,
        split=split,
    )


def _times(target: str) -> dict[str, str]:
    """Of engines alone, what their times are of: they are not compared with those of servers."""
    return {"times": "engine only"} if address(target).kind == "engine" else {}


def source_digest() -> str:
    """Of this installation, code and data: what a server of it does, and is found to do, depends on all of it."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations if spec else None) or ():
            for file in sorted(Path(folder).rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    digest.update(f"{package}/{file.relative_to(folder)} {file.stat().st_size}\n".encode())
                    digest.update(file.read_bytes())
    return digest.hexdigest()


def engine_versions() -> str:
    """Of the libraries that recognise, speak and decode, as in ``av 18.1.0 ctranslate2 4.8.2``, and where they do.

    The processor and the threads of NumPy's products decide last bits, and those some words.
    """
    versions = " ".join(f"{name} {_version(name)}" for name in _ENGINES)
    return f"{versions} on {cpu()} numpy-threads={os.environ.get('OPENBLAS_NUM_THREADS', '')}"


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "none"


def commit() -> str:
    """Of the checkout this runs from, ``-dirty`` behind it if files differ; empty if it is none."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607  whichever there is
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip()


def cpu() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
