"""A session manager over fake engines, and a user who speaks their code."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import anyio
import numpy as np
import pytest
from anyio import wait_all_tasks_blocked

from engines.base import Cancellation, TtsJob
from engines.codec.resampler import resample
from engines.fake import FakeBehaviour, FakeTts, fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from schemas.audio import SESSION_RATE_HZ, pcm16_from_float
from schemas.events import ServerEvent
from schemas.sessions import AgentTurn, UserTurn
from session.clock import FakeClock
from session.limits import SessionLimits
from session.log import Published
from session.manager import SessionManager
from session.runner import Session
from session.stores.memory import MemoryStore


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def behaviour() -> FakeBehaviour:
    return FakeBehaviour()


@pytest.fixture
async def host(behaviour: FakeBehaviour) -> AsyncGenerator[EngineHost]:
    async with EngineHost(fake_engines(behaviour), HostSettings()) as host:
        yield host


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def sessions(host: EngineHost, store: MemoryStore, clock: FakeClock) -> AsyncGenerator[SessionManager]:
    limits = SessionLimits(max_sessions=3, input_stall_s=0.3)
    async with SessionManager(host, store, limits, clock) as manager:
        yield manager


class User:
    """What a person says and does not say, as 16 kHz PCM."""

    def speech(self, text: str) -> bytes:
        job = TtsJob(text=text, voice="fake-alto", cancellation=Cancellation())
        samples = np.concatenate([chunk.samples for chunk in FakeTts().synthesize(job)])
        return pcm16_from_float(resample(samples, 22_050, SESSION_RATE_HZ))

    def silence(self, ms: int) -> bytes:
        return bytes(2 * SESSION_RATE_HZ * ms // 1000)


@pytest.fixture
def user() -> User:
    return User()


class Stage:
    """Lets virtual time pass, and collects what subscribers see."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    async def until(self, condition: Callable[[], bool], step_s: float = 0.05) -> None:
        """Advance the clock step by step until something is the case."""
        with anyio.fail_after(20):
            while not condition():
                await wait_all_tasks_blocked()
                self._clock.advance(step_s)

    async def collect(self, events: AsyncIterator[Published], until: type[ServerEvent]) -> list[ServerEvent]:
        """Events up to the first of a kind."""
        seen: list[ServerEvent] = []
        with anyio.fail_after(20):
            async for published in events:
                seen.append(published.event)
                if isinstance(published.event, until):
                    break
        return seen


@pytest.fixture
def stage(clock: FakeClock) -> Stage:
    return Stage(clock)


AllEvents = Callable[..., Awaitable[list[ServerEvent]]]
AgentTurnOf = Callable[[Session, str], AgentTurn]
HeardTurn = Callable[[Session], Awaitable[UserTurn]]


@pytest.fixture
def all_events() -> AllEvents:
    """All events of a session that is over, or those after a number."""

    async def read(sessions: SessionManager, session_id: str, after_seq: int = 0) -> list[ServerEvent]:
        with anyio.fail_after(20):
            async with sessions.subscribe(session_id, after_seq) as events:
                return [published.event async for published in events]

    return read


@pytest.fixture
def agent_turn() -> AgentTurnOf:
    """An item of the agent, as its history has it."""

    def find(session: Session, item_id: str) -> AgentTurn:
        turn = session.history.agent_turn(item_id)
        assert turn is not None
        return turn

    return find


@pytest.fixture
def heard_turn() -> HeardTurn:
    """The user's next turn."""

    async def listen(session: Session) -> UserTurn:
        turn = await session.listen(timeout_s=20)
        assert turn is not None
        return turn

    return listen
