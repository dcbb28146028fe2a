"""Other servers of the same models, each installed in an environment of its own outside the clone."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import numpy as np
from anyio import to_thread

from benchmarks.bench import Bench, cache_dir, models_dir
from benchmarks.engine_side import MODEL
from benchmarks.http_client import is_ok
from benchmarks.processes import LOOPBACK, NotStartedError, Running, accepts, free_port, started

LOCKS: Final = Path(__file__).resolve().parent / "peers"
VERSIONS: Final = {
    "wyoming-faster-whisper": "3.8.1",
    "piper-http": "1.8.0",
    "fastkokoro": "0.7.0",
    "whisper-live": "0.10.0",
}
PIPER_MODEL: Final = "piper-en_US-joe-medium"
KOKORO_MODEL: Final = "kokoro-82m-v1.0-int8"
KOKORO_VOICE: Final = "af_heart"
PIPER_RATE_HZ: Final = 22_050
"""Of the voice joe."""
_INSTALL_S: Final = 1_500.0
_KOKORO_STYLE_SHAPE: Final = (510, 1, 256)


async def environment(peer: str, bench: Bench) -> Path:
    """The Python of a peer's environment, which is made if it is not there or its lock file has changed.

    Raises:
        NotStartedError: It cannot be installed here.
    """
    folder = cache_dir() / f"{peer}-{VERSIONS[peer]}"
    python = folder / "bin" / "python"
    lock = LOCKS / f"{peer}.lock"
    stamp = folder / ".installed"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text("utf-8") == wanted:
        return python
    bench.say(f"installing {peer} {VERSIONS[peer]} into {folder}; this is done once")
    bench.logs.mkdir(parents=True, exist_ok=True)
    log = bench.logs / f"install-{peer}.log"
    commands = ([sys.executable, "-m", "venv", str(folder)], _pip(python, lock))
    with anyio.move_on_after(_INSTALL_S) as waiting, log.open("wb") as output:
        for command in commands:
            done = await anyio.run_process(command, stdout=output, stderr=subprocess.STDOUT, check=False)
            if done.returncode:
                raise NotStartedError(f"{peer} cannot be installed: {_reason(log)}")
    if waiting.cancelled_caught:
        raise NotStartedError(f"{peer} was not installed within {_INSTALL_S / 60:.0f} minutes.")
    stamp.write_text(wanted, "utf-8")
    return python


def _pip(python: Path, lock: Path) -> list[str]:
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    return [*pip, "--no-deps", "--require-hashes", "-r", str(lock)]


def _reason(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").splitlines()
    errors = [line.strip() for line in lines if "ERROR" in line]
    return (errors or [line for line in lines if line.strip()] or ["pip printed nothing"])[-1][:300]


@asynccontextmanager
async def wyoming(bench: Bench, *, beam: int) -> AsyncGenerator[Running]:
    """wyoming-faster-whisper with our weights. Raises ``NotStartedError``."""
    python = await environment("wyoming-faster-whisper", bench)
    port = free_port()
    command = [str(python), "-m", "wyoming_faster_whisper", "--uri", f"tcp://{LOOPBACK}:{port}"]
    command += ["--model", str(models_dir() / MODEL), "--data-dir", str(cache_dir()), "--local-files-only"]
    command += ["--stt-library", "faster-whisper", "--beam-size", str(beam), "--cpu-threads", str(bench.threads)]
    command += ["--compute-type", bench.compute_type, "--device", bench.device]
    async with started(
        "wyoming-faster-whisper",
        command,
        port=port,
        cores=bench.cores.engines,
        logs=bench.logs,
        is_ready=partial(accepts, port),
    ) as running:
        yield running


@asynccontextmanager
async def whisper_live(bench: Bench, *, beam: int) -> AsyncGenerator[Running]:
    """whisper-live, batching across sessions, with our weights. Raises ``NotStartedError``."""
    python = await environment("whisper-live", bench)
    port = free_port()
    model = str(models_dir() / MODEL)
    program = (
        "from whisper_live.server import TranscriptionServer; "
        f"TranscriptionServer().run('{LOOPBACK}', port={port}, backend='faster_whisper', "
        f"faster_whisper_custom_model_path={model!r}, single_model=True, max_clients=64, "
        f"batch_enabled=True, batch_beam_size={beam}, batch_max_admissions_per_s=1000.0, "
        "batch_max_queue_wait_s=60.0)"
    )
    async with started(
        "whisper-live",
        [str(python), "-c", program],
        port=port,
        cores=bench.cores.engines,
        logs=bench.logs,
        is_ready=partial(accepts, port),
        environment={"OMP_NUM_THREADS": str(bench.threads)},
    ) as running:
        yield running


@asynccontextmanager
async def piper_http(bench: Bench) -> AsyncGenerator[Running]:
    """Piper's own HTTP server with our voice. Raises ``NotStartedError``."""
    python = await environment("piper-http", bench)
    port = free_port()
    (model,) = (models_dir() / PIPER_MODEL).glob("*.onnx")
    command = [str(python), "-m", "piper.http_server", "-m", str(model), "--host", LOOPBACK, "--port", str(port)]
    command += ["--cuda"] if bench.device.startswith("cuda") else []
    async with started(
        "piper-http",
        command,
        port=port,
        cores=bench.cores.engines,
        logs=bench.logs,
        is_ready=partial(is_ok, port, "/voices"),
    ) as running:
        yield running


@asynccontextmanager
async def fastkokoro(bench: Bench) -> AsyncGenerator[Running]:
    """Fastkokoro with our weights and voices. Raises ``NotStartedError``."""
    python = await environment("fastkokoro", bench)
    folder = models_dir() / KOKORO_MODEL
    models = sorted(folder.glob("*.onnx"))
    if not models:
        raise NotStartedError(f"The model {KOKORO_MODEL} is not installed: antiphon models pull {KOKORO_MODEL}")
    port = free_port()
    provider = "CUDAExecutionProvider" if bench.device.startswith("cuda") else "CPUExecutionProvider"
    async with started(
        "fastkokoro",
        [str(python), "-m", "uvicorn", "fastkokoro.server:app", "--host", LOOPBACK, "--port", str(port)],
        port=port,
        cores=bench.cores.engines,
        logs=bench.logs,
        is_ready=partial(is_ok, port, "/health"),
        environment={
            "FASTKOKORO_MODEL_PATH": str(models[0]),
            "FASTKOKORO_VOICES_PATH": str(await to_thread.run_sync(_joined_voices, folder)),
            "FASTKOKORO_ONNX_PROVIDERS": provider,
            "FASTKOKORO_ONNX_INTRA_OP_NUM_THREADS": str(bench.threads),
        },
    ) as running:
        yield running


def _joined_voices(folder: Path) -> Path:
    """Our voice files as the one archive that fastkokoro reads."""
    archive = cache_dir() / f"{KOKORO_MODEL}-voices.npz"
    if not archive.exists():
        voices = {
            path.stem: np.fromfile(path, np.float32).reshape(_KOKORO_STYLE_SHAPE)
            for path in sorted((folder / "voices").glob("*.bin"))
        }
        unfinished = archive.with_name(f"{os.getpid()}-{archive.name}")
        np.savez(unfinished, allow_pickle=False, **voices)
        unfinished.replace(archive)
    return archive
