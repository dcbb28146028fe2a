from __future__ import annotations

import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import httpx
import numpy as np
import pytest
from anyio import to_thread
from litestar import Litestar
from msgspec.structs import replace

from engines.codec.encoder import encode_all
from engines.fake import FakeBehaviour, fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from engines.tones import encode_word
from schemas.audio import AudioFormat
from schemas.errors import ERRORS, ErrorCode
from server.app import create_app
from server.settings import ModelSettings, Settings, StoreSettings
from server.webhooks import Webhooks

BASE_URL = "http://127.0.0.1:8080"


@asynccontextmanager
async def _open_app(
    settings: Settings | None = None,
    *,
    behaviour: FakeBehaviour | None = None,
    host: EngineHost | None = None,
    webhooks: Webhooks | None = None,
) -> AsyncGenerator[Litestar]:
    host = host or EngineHost(fake_engines(behaviour), HostSettings(grace_s=1.0))
    settings = settings or Settings(models=ModelSettings(warm=False))
    if settings.store == StoreSettings():  # whose file is the user's own
        settings = replace(settings, store=StoreSettings(kind="memory"))
    app = create_app(settings, host=host, webhooks=webhooks)
    async with app.lifespan():
        yield app


@asynccontextmanager
async def _open_client(settings: Settings | None = None, **options: Any) -> AsyncGenerator[httpx.AsyncClient]:
    async with _open_app(settings, **options) as app:
        transport = httpx.ASGITransport(cast("Any", app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
            yield client


@pytest.fixture
def open_app() -> Callable[..., AbstractAsyncContextManager[Litestar]]:
    """Opens an application with fake engines in this process."""
    return _open_app


@pytest.fixture
def open_client() -> Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]:
    """Opens a client of such an application."""
    return _open_client


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with _open_client() as client:
        yield client


@pytest.fixture
def error_of() -> Callable[[httpx.Response, ErrorCode], dict[str, Any]]:
    """Checks that a response is that error, in the shape all errors have, and gives the error."""

    def check(response: httpx.Response, code: ErrorCode) -> dict[str, Any]:
        assert response.headers["content-type"] == "application/json"
        error = response.json()["error"]
        assert (error["code"], response.status_code) == (code.value, ERRORS[code].http_status), error
        assert error["type"] == ("server_error" if response.status_code >= 500 else "invalid_request_error")
        assert error["retryable"] is ERRORS[code].retryable
        assert response.headers["x-should-retry"] == str(error["retryable"]).lower()
        assert error["request_id"] == response.headers["x-request-id"]
        return error

    return check


@pytest.fixture
def events_of() -> Callable[[httpx.Response], list[dict[str, Any]]]:
    """The data of the server-sent events of a response."""

    def parse(response: httpx.Response) -> list[dict[str, Any]]:
        return [json.loads(line.removeprefix("data: ")) for line in response.text.split("\n") if line[:6] == "data: "]

    return parse


@pytest.fixture
def call_and_leave() -> Callable[[Litestar, httpx.Request, threading.Event], Awaitable[list[dict[str, Any]]]]:
    """Sends a request, goes away when ``called`` is set, and gives the messages the application had sent."""

    async def call(app: Litestar, request: httpx.Request, called: threading.Event) -> list[dict[str, Any]]:
        body: list[bytes] = [request.read()]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if body:
                return {"type": "http.request", "body": body.pop(), "more_body": False}
            await to_thread.run_sync(called.wait, abandon_on_cancel=True)
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.url.path,
            "raw_path": request.url.raw_path,
            "query_string": request.url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8080),
        }
        await cast("Any", app)(scope, receive, send)
        return sent

    return call


@pytest.fixture(scope="session")
def spoken_wav() -> bytes:
    """A WAV file in which the fake voice says two sentences."""
    words = np.concatenate([encode_word(word, 16_000) for word in ("hello", "there.", "bye.")])
    return encode_all(words, AudioFormat.WAV, 16_000)


@pytest.fixture(scope="session")
def silent_wav() -> bytes:
    return encode_all(np.zeros(16_000, np.float32), AudioFormat.WAV, 16_000)
