"""Where a run was made: what there is to know to judge its figures."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from evals.report import Conditions

_PACKAGES: Final = ("schemas", "engines", "session", "tools", "server")


def conditions(
    target: str, seed: int, *, corpus: str = "", split: str = "", options: dict[str, str] | None = None
) -> Conditions:
    """Of a run that begins now; the models are known later."""
    return Conditions(
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        target=target,
        version=version("antiphon"),
        commit=_commit(),
        corpus=corpus,
        options=options or {},
        models={},
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        python=platform.python_version(),
        others_load=round(os.getloadavg()[0], 2),
        seed=seed,
        split=split,
    )


def source_digest() -> str:
    """Of the code of this installation: what a server of it does depends on all of it."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations if spec else None) or ():
            for file in sorted(Path(folder).rglob("*.py")):
                digest.update(str(file.relative_to(folder)).encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def _commit() -> str:
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


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
