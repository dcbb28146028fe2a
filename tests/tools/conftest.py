"""The tools over fake engines, and a user who speaks their code."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import anyio
import numpy as np
import pytest

from engines.base import Cancellation, TtsJob
from engines.codec.decoder import DecodeLimits, Decoder
from engines.codec.resampler import resample
from engines.fake import FakeBehaviour, FakeTts, fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from schemas.audio import SESSION_RATE_HZ, pcm16_from_float
from schemas.errors import ErrorCode, SpeechError
from schemas.principal import LOCAL
from schemas.tools import ToolEvent
from session.clock import FakeClock
from session.limits import SessionLimits
from session.manager import SessionManager
from session.own_sessions import OwnSessions
from session.stores.memory import MemoryStore
from tools.audio_shelf import AudioShelf
from tools.registry import TOOLS
from tools.tool import ToolContext, ToolLimits


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def behaviour() -> FakeBehaviour:
    return FakeBehaviour()


@pytest.fixture
async def host(behaviour: FakeBehaviour) -> AsyncGenerator[EngineHost]:
    async with EngineHost(fake_engines(behaviour), HostSettings(grace_s=1.0)) as host:
        yield host


@pytest.fixture
async def decoder() -> AsyncGenerator[Decoder]:
    async with Decoder(DecodeLimits(max_duration_s=30, workers=1)) as decoder:
        yield decoder


@pytest.fixture
async def sessions(host: EngineHost, clock: FakeClock) -> AsyncGenerator[SessionManager]:
    limits = SessionLimits(max_sessions=2, input_stall_s=30.0)
    async with SessionManager(host, MemoryStore(), limits, clock) as manager:
        yield manager


@pytest.fixture
def events() -> list[ToolEvent]:
    """What a tool emitted."""
    return []


@pytest.fixture
def context(host: EngineHost, decoder: Decoder, sessions: SessionManager, events: list[ToolEvent]) -> ToolContext:
    async def emit(event: ToolEvent) -> None:
        events.append(event)

    return ToolContext(
        host=host,
        decoder=decoder,
        sessions=OwnSessions(sessions, LOCAL),
        shelf=AudioShelf(),
        limits=ToolLimits(max_text_chars=200),
        emit=emit,
    )


@pytest.fixture
def call(context: ToolContext) -> Callable[..., Awaitable[Any]]:
    """Calls a tool: ``await call("say", session_id=…, text=…)``."""

    async def call_tool(name: str, /, **arguments: object) -> Any:
        with anyio.fail_after(20):
            return await TOOLS.call(name, arguments, context)

    return call_tool


@pytest.fixture
def refused(context: ToolContext) -> Callable[..., Awaitable[SpeechError]]:
    """Calls a tool that must fail with a code, and gives the error."""

    async def call_tool(code: ErrorCode, name: str, /, **arguments: object) -> SpeechError:
        with anyio.fail_after(20), pytest.raises(SpeechError) as caught:
            await TOOLS.call(name, arguments, context)
        assert caught.value.code is code, caught.value.message
        return caught.value

    return call_tool


class User:
    """What a person says and does not say, as 16 kHz PCM."""

    def speech(self, text: str) -> bytes:
        job = TtsJob(text=text, voice="fake-alto", cancellation=Cancellation())
        samples = np.concatenate([chunk.samples for chunk in FakeTts().synthesize(job)])
        return pcm16_from_float(resample(samples, 22_050, SESSION_RATE_HZ))

    def speech_base64(self, text: str) -> str:
        return base64.b64encode(self.speech(text)).decode()

    def silence(self, ms: int) -> bytes:
        return bytes(2 * SESSION_RATE_HZ * ms // 1000)


@pytest.fixture
def user() -> User:
    return User()


@pytest.fixture
def until(virtual_time: Any) -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Lets time pass in steps of 20 ms until something is the case."""

    async def advance(condition: Callable[[], bool]) -> None:
        await virtual_time.until(condition, 0.02)

    return advance
