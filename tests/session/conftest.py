"""A session manager over fake engines, and a user who speaks their code."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Protocol

import anyio
import numpy as np
import pytest

from engines.base import Cancellation, TtsJob
from engines.codec.resampler import resample
from engines.fake import FakeBehaviour, FakeTts, fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from schemas.audio import SESSION_RATE_HZ, VAD_FRAME_SAMPLES, pcm16_from_float
from schemas.events import ServerEvent
from schemas.sessions import AgentTurn, Interruption, TurnSettings, UserTurn
from session.audio_buffer import LATE_MS, needed_from
from session.clock import FakeClock
from session.end_of_turn import EndOfTurnWeights
from session.lexicons import is_like_stop, text_cues
from session.limits import SessionLimits
from session.log import Published
from session.manager import SessionManager
from session.runner import Session
from session.stores.memory import MemoryStore
from session.turn import step
from session.turn_actions import (
    CommitTurn,
    FinalizeAsr,
    HearOverlap,
    PartialAsr,
    ScoreEndOfTurn,
    SetTimer,
    TurnAction,
)
from session.turn_events import (
    EndOfTurnScore,
    FinalReady,
    ItemAudible,
    OverlapHeard,
    PartialReady,
    SayRequested,
    TimerExpired,
    TurnEvent,
    VadFrame,
)
from session.turn_state import TurnState, samples_of_ms


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


@pytest.fixture(scope="session")
def user() -> User:
    return User()


class VirtualTime(Protocol):
    async def until(self, condition: Callable[[], bool], step_s: float) -> None: ...


WEIGHTS_BY_HAND = EndOfTurnWeights(
    version="0",
    report="set by hand",
    bias=-0.6,
    audio_logit=0.8,
    text_complete=1.2,
    trailing_open=-2.5,
    silence_s=0.8,
    stability=0.4,
    question=0.0,
    length=0.0,
)
"""What the turn core is tested with: what it makes of a probability is another matter than how likely an end is."""


class Core:
    """A turn core and all it wanted, timers apart."""

    def __init__(self, settings: TurnSettings = TurnSettings()) -> None:  # noqa: B008 - frozen
        self.settings = settings
        self.state = TurnState(weights=WEIGHTS_BY_HAND)
        self.actions: list[TurnAction] = []
        self.timers: list[SetTimer] = []
        self._held_from = 0
        self.too_late: list[TurnAction] = []
        """Actions that ask for audio from before what was needed when it came."""

    def send(self, *events: TurnEvent) -> list[TurnAction]:
        """The actions, but for timers."""
        before = len(self.actions)
        for event in events:
            self.state, actions = step(self.state, event, self.settings)
            self.actions.extend(action for action in actions if not isinstance(action, SetTimer))
            self.timers.extend(action for action in actions if isinstance(action, SetTimer))
            for action in actions:
                if isinstance(action, PartialAsr | FinalizeAsr | ScoreEndOfTurn | HearOverlap):
                    self.too_late += [action] if action.start_samples < self._held_from else []
            late_samples = samples_of_ms(LATE_MS)
            self._held_from = max(self._held_from, needed_from(self.state, self.settings) + late_samples)
        return self.actions[before:]

    def hear(self, ms: int, probability: float, *, echo: float = 0.0) -> list[TurnAction]:
        """So much audio, rounded up to whole frames."""
        return self.send(*[VadFrame(probability, echo)] * -(-samples_of_ms(ms) // VAD_FRAME_SAMPLES))

    def score(self, probability: float | None) -> list[TurnAction]:
        """The turn detector's answer."""
        return self.send(EndOfTurnScore(self.state.generation, probability))

    def partial(self, text: str) -> list[TurnAction]:
        """A partial transcript of all audio so far."""
        end_samples = self.state.now_samples
        return self.send(PartialReady(self.state.turn, text, "en", text_cues(text, "en"), 0.5, end_samples))

    def final(self, text: str = "", language: str = "en") -> list[TurnAction]:
        """The final transcript asked for last is there."""
        return self.send(FinalReady(self.state.generation, text, language, text_cues(text, language)))

    def understand(self, text: str, confidence: float = 0.9, *, language: str = "en") -> list[TurnAction]:
        """The words of the overlap so far."""
        overlap = self.state.overlap
        assert overlap is not None
        cues, is_like = text_cues(text, language), is_like_stop(text, language)
        return self.send(OverlapHeard(overlap.start_samples, self.state.now_samples, text, cues, confidence, is_like))

    def expire(self) -> list[TurnAction]:
        """The timer that was set last is due."""
        timer = self.timers[-1]
        return self.send(TimerExpired(timer.timer, timer.generation))

    def hear_end(self) -> None:
        """So much silence that the turn is over, with a turn detector that is sure."""
        self.hear(224, 0.05)
        self.score(0.99)
        self.hear(416, 0.05)

    def end(self, text: str = "That is all.") -> list[TurnAction]:
        """A turn, from its first word to its commit."""
        before = len(self.actions)
        self.hear(960, 0.9)
        self.hear(224, 0.05)
        self.final(text)
        self.score(0.99)
        self.hear(320, 0.05)
        return self.actions[before:]

    def of(self, kind: type[TurnAction]) -> list[TurnAction]:
        """Its actions of a kind."""
        return [action for action in self.actions if isinstance(action, kind)]

    @property
    def commits(self) -> list[CommitTurn]:
        """The turns that have ended."""
        return [action for action in self.actions if isinstance(action, CommitTurn)]


@pytest.fixture(scope="session")
def turn_core() -> Callable[..., Core]:
    """Makes one that has heard nothing."""
    return Core


@pytest.fixture(scope="session")
def speaking_core() -> Callable[..., Core]:
    """Makes one in which the agent speaks, and has been heard for a second."""

    def make(
        settings: TurnSettings = TurnSettings(),  # noqa: B008 - frozen
        interruption: Interruption = Interruption.INTERRUPTIBLE,
    ) -> Core:
        core = Core(settings)
        core.send(SayRequested("item_1", interruption), ItemAudible("item_1"))
        core.hear(960, 0.05)
        core.actions.clear()
        return core

    return make


class Stage:
    """Lets virtual time pass, and collects what subscribers see."""

    def __init__(self, virtual_time: VirtualTime) -> None:
        self._virtual_time = virtual_time

    async def until(self, condition: Callable[[], bool], step_s: float = 0.05) -> None:
        """Let time pass step by step until something is the case."""
        await self._virtual_time.until(condition, step_s)

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
def stage(virtual_time: VirtualTime) -> Stage:
    return Stage(virtual_time)


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
