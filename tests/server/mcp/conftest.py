"""The server of the Model Context Protocol in this process, over fake engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import numpy as np
import pytest
from litestar import Litestar
from mcp.client.client import Client

from engines.base import Cancellation, TtsJob
from engines.codec.resampler import resample
from engines.fake import FakeBehaviour, FakeTts
from schemas.audio import SESSION_RATE_HZ, pcm16_from_float


@pytest.fixture
def behaviour() -> FakeBehaviour:
    return FakeBehaviour()


@pytest.fixture
async def app(
    open_app: Callable[..., AbstractAsyncContextManager[Litestar]], behaviour: FakeBehaviour
) -> AsyncIterator[Litestar]:
    async with open_app(behaviour=behaviour) as app:
        yield app


@pytest.fixture(params=["auto", "legacy"])
async def agent(app: Litestar, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """The official client, in each revision."""
    async with Client(app.state.stdio, mode=request.param) as client:
        yield client


class User:
    """What a person says, as 16 kHz PCM."""

    def turn(self, text: str) -> bytes:
        job = TtsJob(text=text, voice="fake-alto", cancellation=Cancellation())
        samples = np.concatenate([chunk.samples for chunk in FakeTts().synthesize(job)])
        return pcm16_from_float(resample(samples, 22_050, SESSION_RATE_HZ)) + bytes(2 * SESSION_RATE_HZ)


@pytest.fixture(scope="session")
def user() -> User:
    return User()
