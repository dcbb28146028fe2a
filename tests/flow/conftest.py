"""The real server, in a process of its own, with real models."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import stamina

READY_S = 120.0


class RealServer:
    """A running server, and all it logs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[str] = []
        self._listening = threading.Event()
        self._url = ""
        self._reader = threading.Thread(target=self._read_log)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        assert self._listening.wait(READY_S), "".join(self.log)
        assert self._url, "".join(self.log)
        return self._url

    def wait_ready(self) -> None:
        for attempt in stamina.retry_context(on=httpx.HTTPError, timeout=READY_S, attempts=None, wait_max=0.5):
            with attempt:
                httpx.get(f"{self.url}/readyz").raise_for_status()

    def wait_ended(self) -> int:
        status = self.process.wait(timeout=60)
        self._reader.join()
        return status

    def _read_log(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line)
            if match := re.search(r"listens on (http://[^ ]+?)\.? ", line):
                self._url = match[1]
                self._listening.set()
        self._listening.set()


@contextmanager
def _serve(home: Path, *options: str) -> Generator[RealServer]:
    environment = {**os.environ, "ANTIPHON_STORE_PATH": str(home / "sessions.db"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "server", "serve", "--port", "0", "--log-format", "json", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    server = RealServer(process)
    try:
        server.wait_ready()
        yield server
    finally:
        process.terminate()
        server.wait_ended()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="session")
def serve() -> Callable[..., object]:
    """Starts a server: ``with serve(folder, *options) as server``."""
    return _serve


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RealServer]:
    """One server with the default models for all tests that do not harm it."""
    with _serve(tmp_path_factory.mktemp("server")) as server:
        yield server
