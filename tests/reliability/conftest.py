"""The server on a real socket, as ``antiphon serve`` runs it, over fake engines; and keys to come in by.

``serving`` runs it in this process, ``server_process`` in one of its own.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import stamina
from msgspec import Struct
from msgspec.structs import replace

from engines.fake import FakeBehaviour, fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from schemas.principal import Quotas, Scope
from server.app import create_app
from server.auth.keys import KeyFile
from server.cli.serve import AppServer, uvicorn_config
from server.settings import AuthSettings, ModelSettings, Settings, StoreSettings


@asynccontextmanager
async def _serving(
    settings: Settings | None = None,
    *,
    behaviour: FakeBehaviour | None = None,
    host: EngineHost | None = None,
    address: str = "127.0.0.1",
) -> AsyncGenerator[str]:
    settings = settings or Settings()
    settings = replace(settings, models=ModelSettings(warm=False), store=StoreSettings(kind="memory"))
    app = create_app(settings, host=host or EngineHost(fake_engines(behaviour), HostSettings(grace_s=1.0)))
    ready = anyio.Event()
    server = AppServer(uvicorn_config(app, settings), on_ready=ready.set, on_stop=app.state.stop)
    with socket.create_server((address, 0)) as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            with anyio.fail_after(20):
                await ready.wait()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True


@pytest.fixture
def serving() -> Callable[..., AbstractAsyncContextManager[str]]:
    """Runs a server, and gives its address: ``async with serving(settings) as url``."""
    return _serving


class ServerProcess(Struct, frozen=True):
    """``antiphon serve``."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def ended(self) -> int:
        """How it ended, once it has."""
        return self.process.wait(timeout=60)


@pytest.fixture
def server_process(tmp_path: Path) -> Callable[..., AbstractContextManager[ServerProcess]]:
    """Starts a server: ``with server_process(**settings) as server``, the settings as ``section_name``."""

    @contextmanager
    def start(**settings: object) -> Generator[ServerProcess]:
        command = [sys.executable, "-m", "server", "serve", "--port", "0", "--fake-engines", "--log-format", "json"]
        environment = {f"ANTIPHON_{name.upper()}": str(value) for name, value in settings.items()}
        environment = {**os.environ, "ANTIPHON_STORE_KIND": "memory", **environment}
        log = tmp_path / "server.log"
        with (
            log.open("w") as out,
            subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment) as process,
        ):
            try:
                yield ServerProcess(_address(log, process), process, log)
            finally:
                process.terminate()

    return start


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    for attempt in stamina.retry_context(on=LookupError, timeout=60.0, attempts=None, wait_max=0.2):
        with attempt:
            assert process.poll() is None, log.read_text()
            if (found := re.search(r"listens on (http://[^ ]+?)\.? ", log.read_text())) is None:
                raise LookupError
            return found[1]
    raise AssertionError


class Keys(Struct, frozen=True):
    """A file of keys, and settings that ask for them."""

    file: KeyFile
    settings: Settings

    def headers(self, tenant: str, *scopes: Scope, quotas: Quotas | None = None) -> dict[str, str]:
        """What a caller of that tenant sends; without ``scopes``, one who may do everything."""
        key, _ = self.file.create(name="", tenant=tenant, scopes=scopes or list(Scope), quotas=quotas or Quotas())
        return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    path = tmp_path / "keys.json"
    return Keys(KeyFile(path), Settings(auth=AuthSettings(mode="on", keys_file=str(path))))


@pytest.fixture
def client() -> Callable[..., httpx.AsyncClient]:
    """A client with an address and headers of its own."""

    def make(url: str, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=url, headers=headers, timeout=20)

    return make


@pytest.fixture
def open_asgi() -> Callable[..., Any]:
    """Sends one request whose body is a function, without a socket between, and gives the status."""

    async def call(settings: Settings, path: str, content_type: str, receive: Callable[[], Awaitable[Any]]) -> int:
        settings = replace(settings, models=ModelSettings(warm=False), store=StoreSettings(kind="memory"))
        app: Any = create_app(settings, host=EngineHost(fake_engines(), HostSettings()))
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        headers = [
            (b"host", b"localhost"),
            (b"content-type", content_type.encode()),
            (b"transfer-encoding", b"chunked"),
        ]
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": headers,
        }
        async with app.lifespan():
            await app(scope, receive, send)
        return int(sent[0]["status"])

    return call
