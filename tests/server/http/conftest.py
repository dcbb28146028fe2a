"""An application on a real socket, and a user who speaks the fakes' code."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import httpx
import numpy as np
import pytest
import uvicorn
from msgspec import Struct

from engines.base import Cancellation, TtsJob
from engines.codec.resampler import resample
from engines.fake import FakeBehaviour, FakeTts, fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from schemas.audio import SESSION_RATE_HZ, pcm16_from_float
from server.app import create_app
from server.cli.serve import AppServer
from server.settings import ModelSettings, Settings, StoreSettings
from session.stores.base import EventStore


@asynccontextmanager
async def _listening(
    *, behaviour: FakeBehaviour | None = None, store: EventStore | None = None
) -> AsyncGenerator[httpx.AsyncClient]:
    settings = Settings(models=ModelSettings(warm=False), store=StoreSettings(kind="memory"))
    host = EngineHost(fake_engines(behaviour), HostSettings(grace_s=1.0))
    app: Any = create_app(settings, host=host, store=store)
    ready = anyio.Event()
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5)
    server = AppServer(config, on_ready=ready.set, on_stop=app.state.stop)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            with anyio.fail_after(20):
                await ready.wait()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with httpx.AsyncClient(base_url=url, timeout=20) as client:
                yield client
            server.should_exit = True


@pytest.fixture
def listening() -> Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]:
    """Starts an application with fake engines on a free port, and gives a client of it."""
    return _listening


@pytest.fixture
async def live() -> AsyncIterator[httpx.AsyncClient]:
    async with _listening() as client:
        yield client


class SentEvent(Struct, frozen=True):
    """A server-sent event as a client sees it."""

    id: str
    event: str
    data: str


@pytest.fixture
def parse_events() -> Callable[[AsyncIterator[str]], AsyncIterator[SentEvent]]:
    """Server-sent events out of the lines of a response."""

    async def parse(lines: AsyncIterator[str]) -> AsyncIterator[SentEvent]:
        fields: dict[str, str] = {}
        async for line in lines:
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            elif "data" in fields:
                yield SentEvent(fields.get("id", ""), fields.get("event", ""), fields["data"])
                fields = {}

    return parse


class User:
    """What a person says and does not say, as 16 kHz PCM."""

    def speech(self, text: str) -> bytes:
        job = TtsJob(text=text, voice="fake-alto", cancellation=Cancellation())
        samples = np.concatenate([chunk.samples for chunk in FakeTts().synthesize(job)])
        return pcm16_from_float(resample(samples, 22_050, SESSION_RATE_HZ))

    def silence(self, ms: int) -> bytes:
        return bytes(2 * SESSION_RATE_HZ * ms // 1000)

    def turn(self, text: str) -> bytes:
        return self.speech(text) + self.silence(1_500)


@pytest.fixture(scope="session")
def user() -> User:
    return User()
