from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import httpx
import numpy as np
import pytest

from engines.codec.encoder import encode_all
from engines.fake import FakeBehaviour, fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from engines.tones import encode_word
from schemas.audio import AudioFormat
from server.app import create_app
from server.settings import ModelSettings, Settings

BASE_URL = "http://127.0.0.1:8080"

OpenClient = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@asynccontextmanager
async def _open_client(
    settings: Settings | None = None, *, behaviour: FakeBehaviour | None = None, host: EngineHost | None = None
) -> AsyncGenerator[httpx.AsyncClient]:
    host = host or EngineHost(fake_engines(behaviour), HostSettings(grace_s=1.0))
    app = create_app(settings or Settings(models=ModelSettings(warm=False)), host=host)
    transport = httpx.ASGITransport(cast("Any", app), raise_app_exceptions=False)
    async with app.lifespan(), httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
        yield client


@pytest.fixture
def open_client() -> OpenClient:
    """A client of an application with fake engines, in this process."""
    return _open_client


@pytest.fixture
async def client(open_client: OpenClient) -> AsyncIterator[httpx.AsyncClient]:
    async with open_client() as client:
        yield client


@pytest.fixture(scope="session")
def spoken_wav() -> bytes:
    """A WAV file in which the fake voice says two sentences."""
    return encode_all(
        np.concatenate([encode_word(word, 16_000) for word in ("hello", "there.", "bye.")]), AudioFormat.WAV, 16_000
    )


@pytest.fixture(scope="session")
def silent_wav() -> bytes:
    return encode_all(np.zeros(16_000, np.float32), AudioFormat.WAV, 16_000)
