"""Programs that run for a while beside the load generator: started, awaited, stopped, each within a deadline."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
from msgspec import Struct

from benchmarks.machine import pinned

LOOPBACK: Final = "127.0.0.1"
READY_S: Final = 180.0
STOP_S: Final = 15.0
_POLL_S: Final = 0.2


class NotStartedError(Exception):
    """A program that is to be measured cannot be had; the text says why."""


class Running(Struct, frozen=True, kw_only=True):
    """A program that is ready."""

    name: str
    command: str
    """As one would type it."""
    pid: int
    port: int


@asynccontextmanager
async def started(
    name: str,
    command: Sequence[str],
    *,
    port: int,
    cores: Sequence[int],
    logs: Path,
    is_ready: Callable[[], Awaitable[bool]],
    environment: Mapping[str, str] | None = None,
) -> AsyncGenerator[Running]:
    """A program on certain cores, from when it is ready to the end of the block.

    Args:
        name: For the log, ``logs/NAME.log``.
        command: What to run.
        port: Where it listens, for whoever asks.
        cores: To which it is kept.
        logs: Folder.
        is_ready: Asked again and again; an ``OSError`` means no.
        environment: Variables, on top of this process's own.

    Raises:
        NotStartedError: It ended, or was not ready in time.
    """
    await anyio.Path(logs).mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    whole = pinned(command, cores)
    shown = " ".join(
        [*(f"{key}={shlex.quote(value)}" for key, value in (environment or {}).items()), shlex.join(whole)]
    )
    with log.open("wb") as output:
        process = await anyio.open_process(
            whole,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            start_new_session=True,
        )
        try:
            with anyio.move_on_after(READY_S) as waiting:
                while not await _answers(is_ready):
                    if process.returncode is not None:
                        raise NotStartedError(f"{name} ended with status {process.returncode}: {_last_line(log)}")
                    await anyio.sleep(_POLL_S)
            if waiting.cancelled_caught:
                raise NotStartedError(f"{name} was not ready within {READY_S:.0f} s; see {log.name}.")
            yield Running(name=name, command=shown, pid=process.pid, port=port)
        finally:
            with anyio.CancelScope(shield=True):
                if process.returncode is None:
                    process.terminate()
                with anyio.move_on_after(STOP_S):
                    await process.wait()
                if process.returncode is None:
                    process.kill()
                    await process.wait()


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])


async def accepts(port: int) -> bool:
    """Whether something listens there."""
    stream = await anyio.connect_tcp(LOOPBACK, port)
    await stream.aclose()
    return True


async def _answers(is_ready: Callable[[], Awaitable[bool]]) -> bool:
    try:
        with anyio.move_on_after(5):
            return await is_ready()
    except OSError:
        pass
    return False


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
