"""Antiphon itself as the program that is measured."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.http_client import Connection, is_ok, json_of
from benchmarks.processes import LOOPBACK, Running, free_port, started

_ROOM: Final = {
    "ANTIPHON_LIMITS_MAX_SESSIONS": "4000",
    "ANTIPHON_LIMITS_SESSION_IDLE_S": "3600",
    "ANTIPHON_ENGINE_MAX_QUEUED": "512",
}
"""Capacity is measured by what is too slow, not by what is refused."""


@asynccontextmanager
async def antiphon(
    bench: Bench,
    *,
    name: str = "antiphon",
    cores: Sequence[int] | None = None,
    warm: bool = True,
    settings: Mapping[str, str] | None = None,
) -> AsyncGenerator[Running]:
    """The server with its default models, event log on disk as by default, ready.

    Args:
        bench: The run.
        name: Of its log.
        cores: It is kept to these; the engines' if left out.
        warm: Whether models are loaded before it is ready.
        settings: Further environment variables.

    Raises:
        NotStartedError: It did not come up.
    """
    port = free_port()
    command = [sys.executable, "-m", "server", "serve", "--host", LOOPBACK, "--port", str(port)]
    command += ["--device", bench.device, "--compute-type", bench.compute_type, "--log-level", "warning"]
    command += [] if warm else ["--no-warm"]
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as folder:
        environment = {**_ROOM, **(settings or {}), "ANTIPHON_STORE_PATH": str(Path(folder) / "sessions.sqlite3")}
        async with started(
            name,
            command,
            port=port,
            cores=bench.cores.engines if cores is None else cores,
            logs=bench.logs,
            is_ready=partial(is_ok, port, "/readyz"),
            environment=environment,
        ) as running:
            yield running


async def voice_of(port: int, model_prefix: str) -> str | None:
    """The first voice whose model begins so, if it is installed."""
    connection = Connection(port)
    voices = json_of(await connection.get("/v1/audio/voices"))["data"]
    return next((str(voice["id"]) for voice in voices if str(voice["model"]).startswith(model_prefix)), None)


async def metrics(port: int) -> str:
    """What ``/metrics`` shows."""
    connection = Connection(port)
    return (await connection.get("/metrics")).checked().body.decode()


def total_of(exposition: str, series: str) -> float:
    """The value of one series, named with its labels. Raises ``RuntimeError`` if the server does not show it."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", exposition, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"The server shows no {series}.")
    return float(found[1])


def histogram(exposition: str, name: str) -> dict[float, float]:
    """Counts of a histogram without labels, by upper bound: each of all that is smaller."""
    found = re.findall(rf'^{re.escape(name)}_bucket{{le="([^"]+)"}} (\S+)$', exposition, re.MULTILINE)
    return {float(bound): float(count) for bound, count in found}


def quantile_of(before: dict[float, float], after: dict[float, float], q: float) -> float | None:
    """The ``q`` quantile of what a histogram counted in between: linear within a bucket, as Prometheus reckons it.

    ``None`` if it counted nothing; the largest finite bound if the quantile is beyond it.
    """
    counts = [(bound, after[bound] - before.get(bound, 0.0)) for bound in sorted(after)]
    total = counts[-1][1] if counts else 0.0
    if total <= 0:
        return None
    low, below = 0.0, 0.0
    for bound, count in counts:
        if count >= q * total:
            if bound == float("inf"):
                return low
            return low + (bound - low) * (q * total - below) / max(count - below, 1e-9)
        low, below = bound, count
    return low
