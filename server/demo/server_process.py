"""The server as a child process, for as long as the demo lasts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import httpx
import msgspec
from anyio.abc import Process

from schemas.errors import ErrorCode, SpeechError
from server.http.health import Readiness

READY_S: Final = 180.0
"""Loading the default models takes a few seconds; from a cold disk of a small machine, a minute."""
STOP_S: Final = 10.0
_POLL_S: Final = 0.2
_ENDING_S: Final = 0.5
"""From a broken connection to the end of the process that held it."""
_LOOPBACK: Final = "127.0.0.1"


class ChildServer:
    """A server that was started and may not be ready yet."""

    def __init__(self, process: Process, http: httpx.AsyncClient, log: Path) -> None:
        self.http = http
        """A client of it."""
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    async def ready(self) -> None:
        """Wait until the models are loaded.

        Raises:
            SpeechError: ``internal`` if it ends by itself; ``deadline_exceeded`` if it does not get ready;
                ``model_not_installed`` if it cannot.
        """
        with anyio.move_on_after(READY_S):
            while not await self._is_ready():
                if self._process.returncode is not None:
                    raise _ended(self._process, self._log)
                await anyio.sleep(_POLL_S)
            return
        raise SpeechError(
            ErrorCode.DEADLINE_EXCEEDED,
            f"The server did not get ready within {READY_S:.0f} s. Its log says more: {self._log}",
        )

    async def _is_ready(self) -> bool:
        try:
            response = await self.http.get("/readyz")
        except httpx.TransportError:
            return False
        readiness = msgspec.json.decode(response.content, type=Readiness)
        if readiness.status == "not_ready":
            raise SpeechError(ErrorCode.MODEL_NOT_INSTALLED, "\n".join(readiness.problems))
        return readiness.status == "ready"


@asynccontextmanager
async def child_server(log: Path, options: Sequence[str] = ()) -> AsyncGenerator[ChildServer]:
    """A server on a free port of this machine. It ends with the block, whatever happens.

    Args:
        log: File that gets everything it prints.
        options: Further ones of ``antiphon serve``.

    Raises:
        SpeechError: ``internal`` if the server ended first and something in the block failed.
    """
    port = _free_port()
    command = [sys.executable, "-m", "server", "serve", "--host", _LOOPBACK, "--port", str(port), *options]
    with tempfile.TemporaryDirectory(prefix="antiphon-demo-") as folder, log.open("wb") as output:
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "ANTIPHON_STORE_KIND": "sqlite",
            "ANTIPHON_STORE_PATH": str(Path(folder) / "sessions.sqlite3"),
        }
        # A session of its own: Ctrl-C is for the demo, which then ends the server in order.
        process = await anyio.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            # Proxies of the environment are not for this machine.
            async with httpx.AsyncClient(base_url=f"http://{_LOOPBACK}:{port}", trust_env=False, timeout=120) as client:
                yield ChildServer(process, client, log)
        except Exception as error:
            # Broken connections have this one reason, and many faces.
            with anyio.move_on_after(_ENDING_S):
                await process.wait()
                raise _ended(process, log) from error
            raise
        finally:
            await _stop(process)


def _free_port() -> int:
    with socket.create_server((_LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])


def _ended(process: Process, log: Path) -> SpeechError:
    return SpeechError(
        ErrorCode.INTERNAL, f"The server ended with status {process.returncode}. Its log says why: {log}"
    )


async def _stop(process: Process) -> None:
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            process.terminate()
        with anyio.move_on_after(STOP_S):
            await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
