from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, Protocol

import anyio
import pytest
from anyio import to_thread, wait_all_tasks_blocked
from msgspec.structs import replace

from engines.fake import FakeAsr, FakeBehaviour, fake_engines
from engines.host import EngineHost
from engines.scheduler import Priority, Scheduler, Terms
from engines.spec import HostSettings
from schemas.audio import SESSION_RATE_HZ
from schemas.errors import ErrorCode
from schemas.events import SessionClosed, SessionOpened, SpeechStarted, SpeechStopped, TurnEager, TurnEnded
from schemas.principal import Principal, Scope
from schemas.sessions import SessionSettings, SessionState, SpeechStatus, TurnSettings
from session.clock import FakeClock
from session.limits import SessionLimits
from session.manager import SessionManager
from session.overlap_recognition import OverlapRecognizer
from session.runner import Session
from session.stores.memory import MemoryStore
from session.turn_actions import HearOverlap

pytestmark = pytest.mark.anyio


class User(Protocol):
    def speech(self, text: str) -> bytes: ...

    def silence(self, ms: int) -> bytes: ...


class Stage(Protocol):
    async def until(self, condition: Callable[[], bool]) -> None: ...


@pytest.fixture
async def sessions(host: EngineHost, store: MemoryStore, clock: FakeClock) -> AsyncGenerator[SessionManager]:
    limits = SessionLimits(idle_timeout_s=60, tts_deadline_s=0.1)
    async with SessionManager(host, store, limits, clock) as manager:
        yield manager


def _status(session: Session, item_id: str) -> SpeechStatus | None:
    turn = session.history.agent_turn(item_id)
    return turn and turn.status


async def test_a_synthesis_that_stands_still_fails_the_item_and_leaves_the_floor_to_the_next(
    sessions: SessionManager, behaviour: FakeBehaviour, stage: Stage
) -> None:
    with anyio.fail_after(20):
        session = await sessions.open(SessionSettings())
        await wait_all_tasks_blocked()
        behaviour.hang()
        item_id = await session.say("Nobody will hear this.")
        turn = await session.wait_spoken(item_id)
        assert turn.status is SpeechStatus.FAILED
        assert turn.error is not None
        assert turn.error.code is ErrorCode.DEADLINE_EXCEEDED
        assert (turn.heard_text, turn.remaining_text) == ("", "Nobody will hear this.")
        behaviour.go_on()
        heard_id = await session.say("But this.")
        await stage.until(lambda: _status(session, heard_id) is SpeechStatus.COMPLETED)


async def test_a_recording_that_comes_at_once_has_the_turns_of_one_that_comes_as_it_is_spoken(
    clock: FakeClock, user: User
) -> None:
    engines = fake_engines()
    slow = FakeBehaviour(engine_ms_per_audio_s=200)
    engines["fake-asr"] = replace(engines["fake-asr"], load=lambda: FakeAsr(behaviour=slow))
    texts = ["One thing.", "Another thing.", "And a last one."]
    async with EngineHost(engines, HostSettings()) as host, SessionManager(host, MemoryStore(), clock=clock) as manager:
        with anyio.fail_after(30):
            session = await manager.open(SessionSettings(partials=False))
            await session.feed(b"".join(user.speech(text) + user.silence(1_500) for text in texts))
            turns = [await session.listen(20) for _ in texts]
    assert [turn and turn.text for turn in turns] == texts


async def test_what_is_said_over_the_agent_is_kept_until_it_is_known_to_be_an_interruption(
    sessions: SessionManager, user: User
) -> None:
    text = "Could you please stop talking because I have something to say and it is rather long as you will find out."
    with anyio.fail_after(30):
        session = await sessions.open(SessionSettings(turn=TurnSettings(hold_ms=3_500)))
        item_id = await session.say("This goes on and on.", more=True)
        while _status(session, item_id) is not SpeechStatus.SPEAKING:
            await anyio.lowlevel.checkpoint()
        await session.feed(user.speech(text) + user.silence(1_500))
        turn = await session.listen(20)
    assert turn is not None
    assert turn.text == text


async def test_all_that_is_heard_counts_for_the_tenant_also_what_is_said_over_the_agent(
    sessions: SessionManager, user: User, stage: Stage, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Terms] = []
    run = Scheduler.run

    async def noted(self: Scheduler, work: Any, item: Any, terms: Terms, cancellation: Any) -> Any:
        jobs.append(terms)
        return await run(self, work, item, terms, cancellation)

    monkeypatch.setattr(Scheduler, "run", noted)
    owner = Principal(tenant="us", subject="key:1", scopes=frozenset(Scope))
    heard_over_agent: list[HearOverlap] = []
    hear = OverlapRecognizer.hear

    def noting(self: OverlapRecognizer, tasks: Any, action: HearOverlap) -> None:
        heard_over_agent.append(action)
        hear(self, tasks, action)

    monkeypatch.setattr(OverlapRecognizer, "hear", noting)

    def heard_for(session: Session) -> set[str | None]:
        return {
            terms.tenant for terms in jobs if terms.owner == session.session_id and terms.priority is Priority.FINAL
        }

    with anyio.fail_after(30):
        session = await sessions.open(SessionSettings(turn=TurnSettings(hold_ms=3_500)), owner)
        item_id = await session.say("This goes on and on. " * 10)
        await stage.until(lambda: _status(session, item_id) is SpeechStatus.SPEAKING)
        clock.advance(0.5)
        await wait_all_tasks_blocked()  # by now it is heard
        await session.feed(
            user.speech("Could you please stop talking because I have something to say.") + user.silence(1_500)
        )
        await stage.until(lambda: bool(heard_for(session)))
    assert heard_over_agent
    assert heard_for(session) == {"us"}


async def test_a_session_is_not_idle_while_a_long_recording_is_taken(
    sessions: SessionManager, clock: FakeClock
) -> None:
    with anyio.fail_after(180):
        session = await sessions.open(SessionSettings())
        fed = anyio.Event()

        async def feed() -> None:
            await session.feed(bytes(2 * SESSION_RATE_HZ * 60))
            fed.set()

        start_us = clock.now_us()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(feed)
            while not fed.is_set():
                await anyio.lowlevel.checkpoint()
                # The models take ten seconds over each.
                clock.advance(session.info.received_ms / 100 - (clock.now_us() - start_us) / 1e6)
        assert session.info.state is SessionState.OPEN


async def test_a_final_transcript_begun_too_soon_is_stopped_in_the_engine_and_the_turn_ends_once(
    clock: FakeClock, user: User
) -> None:
    engines = fake_engines()
    hanging = FakeBehaviour()
    engines["fake-asr"] = replace(engines["fake-asr"], load=lambda: FakeAsr(behaviour=hanging))
    async with EngineHost(engines, HostSettings()) as host, SessionManager(host, MemoryStore(), clock=clock) as manager:
        with anyio.fail_after(120):
            session = await manager.open(SessionSettings(partials=False))
            hanging.hang()
            await session.feed(user.speech("First this,") + user.silence(96))
            await to_thread.run_sync(hanging.called.wait, 60)
            assert session.log.last_seq == 2  # opened, speech started: nobody was told of a pause
            await session.feed(user.speech("then that.") + user.silence(1_500))
            await to_thread.run_sync(hanging.cancelled.wait, 60)
            hanging.go_on()
            turn = await session.listen(20)
        assert turn is not None
        assert turn.text == "First this, then that."
        assert (manager.recognition.finals_begun, manager.recognition.finals_dropped) == (2, 1)
        await session.close("client")
        async with manager.subscribe(session.session_id) as events:
            told = [type(published.event) async for published in events]
    assert told == [SessionOpened, SpeechStarted, SpeechStopped, TurnEager, TurnEnded, SessionClosed]


@pytest.mark.parametrize(("silence_duration_ms", "begun"), [(600, 1), (None, 2)])
async def test_a_recording_whose_pauses_end_by_length_alone_has_no_text_made_but_the_final_one(
    sessions: SessionManager, user: User, silence_duration_ms: int | None, begun: int
) -> None:
    with anyio.fail_after(60):
        turn_settings = TurnSettings(offset_ms=200, silence_duration_ms=silence_duration_ms)
        session = await sessions.open(SessionSettings(partials=False, turn=turn_settings))
        await session.feed(user.speech("First this,") + user.silence(320) + user.speech("then that.") + bytes(64_000))
        turn = await session.listen(20)
    assert turn is not None
    assert turn.text == "First this, then that."
    assert sessions.recognition.finals_begun == begun
