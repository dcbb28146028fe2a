"""Sessions end to end over fake engines, with virtual time on the agent's side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio import wait_all_tasks_blocked
from msgspec.structs import replace

from engines.host import EngineHost
from schemas.errors import ErrorCode, SpeechError
from schemas.events import (
    ServerEvent,
    SessionClosed,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    TranscriptPartial,
    TurnEnded,
)
from schemas.sessions import (
    AgentTurn,
    SessionSettings,
    SessionState,
    SpeechStatus,
    TurnSettings,
    UserTurn,
)
from schemas.transcripts import Transcript
from session.clock import FakeClock
from session.limits import SessionLimits
from session.manager import SessionManager
from session.runner import Session
from session.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio


async def test_what_the_user_says_becomes_a_turn_with_its_text(
    sessions: SessionManager, user: Any, all_events: Any, heard_turn: Any
) -> None:
    session = await sessions.open(SessionSettings(language="en"))
    await session.feed(user.silence(800) + user.speech("hello antiphon") + user.silence(900))
    turn = await heard_turn(session)
    assert (turn.turn, turn.text, turn.language) == (1, "hello antiphon", "en")
    assert abs(turn.started_ms - 800) <= 64
    assert [word.text for word in turn.words] == ["hello", "antiphon"]
    assert turn.started_ms / 1000 <= turn.words[0].start_s < turn.words[1].end_s <= turn.ended_ms / 1000 + 0.05
    await sessions.close(session.session_id)
    kinds: list[type[ServerEvent]] = [type(event) for event in await all_events(sessions, session.session_id)]
    order = [SpeechStarted, TranscriptPartial, SpeechStopped, TurnEnded, SessionClosed]
    assert [kind for kind in kinds if kind in order and kind is not TranscriptPartial] == [
        SpeechStarted,
        SpeechStopped,
        TurnEnded,
        SessionClosed,
    ]


async def test_no_word_begins_before_the_turn_does(
    sessions: SessionManager, user: Any, monkeypatch: pytest.MonkeyPatch, heard_turn: Any
) -> None:
    """Whisper gives the first word all of the silence before it."""
    transcribe = EngineHost.transcribe

    async def stretched(self: EngineHost, *args: Any, **options: Any) -> Transcript:
        transcript = await transcribe(self, *args, **options)
        segments = [
            replace(segment, words=(replace(segment.words[0], start_s=0.0), *segment.words[1:]))
            for segment in transcript.segments
            if segment.words
        ]
        return replace(transcript, segments=tuple(segments))

    monkeypatch.setattr(EngineHost, "transcribe", stretched)
    session = await sessions.open(SessionSettings(language="en", partials=False))
    await session.feed(user.silence(800) + user.speech("hello antiphon") + user.silence(900))
    turn = await heard_turn(session)
    assert turn.words[0].start_s * 1000 == turn.started_ms


async def test_events_are_numbered_without_gaps_and_carry_the_audio_clock(
    sessions: SessionManager, user: Any, all_events: Any, heard_turn: Any
) -> None:
    session = await sessions.open(SessionSettings())
    await session.feed(user.speech("one two") + user.silence(900))
    await heard_turn(session)
    await session.close("client")
    events = await all_events(sessions, session.session_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    times = [event.at_ms for event in events]
    assert times == sorted(times)


async def test_how_the_audio_is_cut_into_chunks_does_not_change_the_turn(sessions: SessionManager, user: Any) -> None:
    audio = user.silence(300) + user.speech("the same words") + user.silence(900)
    turns: list[UserTurn | None] = []
    for size in (len(audio), 640, 34):
        session = await sessions.open(SessionSettings(language="en", partials=False))
        for start in range(0, len(audio), size):
            await session.feed(audio[start : start + size])
        with anyio.fail_after(20):
            turns.append(await session.listen(timeout_s=20))
        await session.close("client")
    assert turns[0] is not None
    assert turns[0] == turns[1] == turns[2]


class SlowStore(MemoryStore):
    """Holds back what is appended until it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = anyio.Event()

    async def append(self, session_id: str, events: Sequence[ServerEvent]) -> None:
        await self.may_write.wait()
        await super().append(session_id, events)


async def test_nobody_is_told_of_a_turn_before_it_is_durable(
    host: EngineHost, clock: FakeClock, user: Any, heard_turn: Any
) -> None:
    store = SlowStore()
    async with SessionManager(host, store, SessionLimits(input_stall_s=0.05), clock) as sessions:
        session = await sessions.open(SessionSettings(partials=False))
        told: list[UserTurn] = []

        async def listen() -> None:
            told.append(await heard_turn(session))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen)
                await session.feed(user.speech("hello") + user.silence(900))
                while not session.history.user_turns(0):
                    await anyio.lowlevel.checkpoint()
                await wait_all_tasks_blocked()
                assert told == []
                store.may_write.set()
        stored = await store.read(session.session_id, 0, 100)
        assert any(isinstance(event, TurnEnded) for event in stored)
        assert len(told) == 1


async def test_a_language_may_come_with_its_region(sessions: SessionManager) -> None:
    session = await sessions.open(SessionSettings(language="en-US"))
    assert session.settings.language == "en"


async def test_a_pause_within_a_turn_is_resumed(
    sessions: SessionManager, user: Any, all_events: Any, heard_turn: Any
) -> None:
    session = await sessions.open(SessionSettings())
    await session.feed(user.speech("first part") + user.silence(256) + user.speech("second") + user.silence(900))
    turn = await heard_turn(session)
    assert turn.text == "first part second"
    await session.close("client")
    assert any(isinstance(event, SpeechResumed) for event in await all_events(sessions, session.session_id))


async def test_a_client_that_stops_sending_gets_its_turn(sessions: SessionManager, user: Any, heard_turn: Any) -> None:
    session = await sessions.open(SessionSettings())
    await session.feed(user.speech("no silence after this"))
    turn = await heard_turn(session)
    assert turn.text == "no silence after this"


async def test_listen_returns_each_turn_once_and_any_turn_by_number(sessions: SessionManager, user: Any) -> None:
    session = await sessions.open(SessionSettings())
    await session.feed(user.speech("one") + user.silence(1_500) + user.speech("two") + user.silence(900))
    with anyio.fail_after(20):
        texts = [turn.text for _ in range(2) if (turn := await session.listen(timeout_s=20)) is not None]
        again = await session.listen(timeout_s=20, after_turn=0)
    assert texts == ["one", "two"]
    assert again is not None
    assert again.text == "one"
    assert await session.listen(timeout_s=0.01) is None


async def test_a_noise_without_words_ends_a_turn_but_is_not_returned_by_listen(
    sessions: SessionManager, user: Any, stage: Any
) -> None:
    session = await sessions.open(SessionSettings(partials=False))
    noise = bytes([0, 64, 0, 192]) * 8_000
    await session.feed(noise + user.silence(900))
    async with sessions.subscribe(session.session_id) as events:
        *_, ended = await stage.collect(events, TurnEnded)
    assert ended.text == ""
    assert await session.listen(timeout_s=0.01) is None


async def test_history_holds_what_was_said_and_heard_in_order(
    sessions: SessionManager, user: Any, stage: Any, agent_turn: Any, heard_turn: Any
) -> None:
    session = await sessions.open(SessionSettings())
    await session.feed(user.speech("hello") + user.silence(900))
    await heard_turn(session)
    item_id = await session.say("Hi there.")
    await stage.until(lambda: agent_turn(session, item_id).status is SpeechStatus.COMPLETED)
    live = await sessions.conversation(session.session_id)
    await session.close("client")
    stored = await sessions.conversation(session.session_id)
    assert stored.items == live.items
    assert stored.session.state is SessionState.CLOSED
    first, second = stored.items
    assert isinstance(first, UserTurn)
    assert isinstance(second, AgentTurn)
    assert (first.text, second.heard_text) == ("hello", "Hi there.")


async def test_a_subscriber_resumes_after_the_last_event_it_saw(
    sessions: SessionManager, user: Any, all_events: Any, heard_turn: Any
) -> None:
    session = await sessions.open(SessionSettings())
    await session.feed(user.speech("some words") + user.silence(900))
    await heard_turn(session)
    await session.close("client")
    everything = await all_events(sessions, session.session_id)
    for cut in range(len(everything) + 1):
        assert await all_events(sessions, session.session_id, after_seq=cut) == everything[cut:]


async def test_a_live_subscriber_is_woken_by_each_event_and_let_go_at_the_end(sessions: SessionManager) -> None:
    session = await sessions.open(SessionSettings())
    seen: list[ServerEvent] = []

    async def follow() -> None:
        async with sessions.subscribe(session.session_id) as events:
            seen.extend([published.event async for published in events])

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await wait_all_tasks_blocked()
            await session.close("client")
    assert isinstance(seen[-1], SessionClosed)


async def test_closing_ends_what_is_being_said_and_who_is_listening(sessions: SessionManager) -> None:
    session = await sessions.open(SessionSettings())
    item_id = await session.say("a long text that will not be finished")
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:

            async def listen() -> None:
                with pytest.raises(SpeechError) as error:
                    await session.listen(timeout_s=60)
                assert error.value.code is ErrorCode.SESSION_CLOSED

            tasks.start_soon(listen)
            await wait_all_tasks_blocked()
            await sessions.close(session.session_id)
    assert session.history.agent_turn(item_id) is not None
    conversation = await sessions.conversation(session.session_id)
    (turn,) = conversation.items
    assert isinstance(turn, AgentTurn)
    assert turn.status is SpeechStatus.INTERRUPTED


async def closed(sessions: SessionManager) -> Session:
    session = await sessions.open(SessionSettings())
    await session.close("client")
    return session


async def test_a_closed_session_refuses_everything_but_reading(sessions: SessionManager) -> None:
    session = await closed(sessions)
    calls = [
        session.feed(b"\0\0"),
        session.say("hello"),
        session.listen(1),
        session.stop_speaking(),
        session.playback("item_1", 1),
        sessions.find(session.session_id),
    ]
    for call in calls:
        with pytest.raises(SpeechError) as error:
            await call
        assert error.value.code is ErrorCode.SESSION_CLOSED
    assert (await sessions.info(session.session_id)).state is SessionState.CLOSED
    assert (await sessions.close(session.session_id)).state is SessionState.CLOSED


async def test_a_session_that_is_being_closed_is_open_until_its_last_event(sessions: SessionManager) -> None:
    """Who loses the connection now and resumes must not be told that nothing more will come."""
    session = await sessions.open(SessionSettings())
    asked = session.info
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session.close, "client")
        await anyio.lowlevel.checkpoint()  # it has been asked to close, and has not
        asked = session.info
    assert asked.state is SessionState.OPEN
    assert session.info.state is SessionState.CLOSED
    assert session.info.last_seq == asked.last_seq + 1


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (SessionSettings(voice="nobody"), ErrorCode.UNKNOWN_VOICE),
        (SessionSettings(asr_model="nothing"), ErrorCode.UNKNOWN_MODEL),
        (SessionSettings(language="tlh"), ErrorCode.UNSUPPORTED_LANGUAGE),
        (SessionSettings(turn=TurnSettings(vad_on=0.2, vad_off=0.5)), ErrorCode.INVALID_REQUEST),
    ],
)
async def test_settings_that_cannot_work_are_refused_at_once(
    sessions: SessionManager, settings: SessionSettings, code: ErrorCode
) -> None:
    with pytest.raises(SpeechError) as error:
        await sessions.open(settings)
    assert error.value.code is code


async def test_bad_calls_are_refused_with_a_code(sessions: SessionManager) -> None:
    session = await sessions.open(SessionSettings())
    for call, code in (
        (session.feed(b"\0"), ErrorCode.INVALID_AUDIO),
        (session.say("  …  "), ErrorCode.EMPTY_TEXT),
        (session.say("x" * 5_001), ErrorCode.TEXT_TOO_LONG),
        (session.say("hi", voice="nobody"), ErrorCode.UNKNOWN_VOICE),
        (session.wait_spoken("item_99"), ErrorCode.INVALID_REQUEST),
        (sessions.find("ses_unknown"), ErrorCode.UNKNOWN_SESSION),
        (sessions.conversation("ses_unknown"), ErrorCode.UNKNOWN_SESSION),
    ):
        with pytest.raises(SpeechError) as error:
            await call
        assert error.value.code is code
    with pytest.raises(SpeechError) as error:
        async with sessions.subscribe(session.session_id, after_seq=99):
            pass
    assert error.value.code is ErrorCode.INVALID_REQUEST


async def test_sessions_beyond_the_limit_are_refused_until_one_closes(sessions: SessionManager) -> None:
    first, *_ = [await sessions.open(SessionSettings()) for _ in range(3)]
    with pytest.raises(SpeechError) as error:
        await sessions.open(SessionSettings())
    assert error.value.code is ErrorCode.TOO_MANY_SESSIONS
    assert error.value.retry_after_s is not None
    await first.close("client")
    await sessions.open(SessionSettings())
    assert sessions.live_count == 3


async def test_sessions_opened_at_the_same_time_do_not_pass_the_limit(sessions: SessionManager) -> None:
    refused: list[ErrorCode] = []

    async def open_one() -> None:
        try:
            await sessions.open(SessionSettings())
        except SpeechError as error:
            refused.append(error.code)

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(open_one)
    assert sessions.live_count == 3
    assert refused == [ErrorCode.TOO_MANY_SESSIONS] * 5


async def test_a_session_in_which_somebody_listens_is_not_idle(sessions: SessionManager, clock: FakeClock) -> None:
    session = await sessions.open(SessionSettings())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session.listen, 300)
        for _ in range(3):
            await wait_all_tasks_blocked()
            clock.advance(700)
        await wait_all_tasks_blocked()
        assert sessions.live_count == 1
        tasks.cancel_scope.cancel()


async def test_an_idle_session_is_closed(
    sessions: SessionManager, stage: Any, clock: FakeClock, all_events: Any
) -> None:
    session = await sessions.open(SessionSettings())
    await wait_all_tasks_blocked()
    clock.advance(700)
    await stage.until(lambda: sessions.live_count == 0)
    events = await all_events(sessions, session.session_id)
    assert events[-1] == SessionClosed(seq=2, reason="idle")


async def test_sessions_a_dead_process_left_open_are_marked_as_interrupted(
    host: EngineHost, store: MemoryStore, clock: FakeClock, all_events: Any
) -> None:
    async with SessionManager(host, store, clock=clock) as first:
        session = await first.open(SessionSettings())
        await session.log.flush()
        snapshot = MemoryStore()
        await snapshot.create(await store.record(session.session_id))
        await snapshot.append(session.session_id, await store.read(session.session_id, 0, 100))
    async with SessionManager(host, snapshot, clock=clock) as second:
        assert (await second.info(session.session_id)).state is SessionState.INTERRUPTED
        events = await all_events(second, session.session_id)
        assert events[-1] == SessionClosed(seq=2, reason="server_stopped")
        with pytest.raises(SpeechError) as error:
            await second.find(session.session_id)
        assert "interrupted" in error.value.message


async def test_leaving_the_manager_closes_its_sessions_and_it_opens_no_more(
    host: EngineHost, store: MemoryStore, clock: FakeClock
) -> None:
    async with SessionManager(host, store, clock=clock) as sessions:
        session = await sessions.open(SessionSettings())
    assert (await store.record(session.session_id)).state is SessionState.CLOSED
    assert (await store.read(session.session_id, 1, 1)) == [SessionClosed(seq=2, reason="shutdown")]
    with pytest.raises(SpeechError) as error:
        await sessions.open(SessionSettings())
    assert error.value.code is ErrorCode.SHUTTING_DOWN


async def test_a_turn_whose_recognition_fails_says_so_to_subscribers_and_to_who_listens(
    sessions: SessionManager, user: Any, monkeypatch: pytest.MonkeyPatch, all_events: Any, heard_turn: Any
) -> None:
    async def failing(*_: Any, **__: Any) -> None:
        raise SpeechError(ErrorCode.OVERLOADED, "too busy")

    session = await sessions.open(SessionSettings())
    monkeypatch.setattr(EngineHost, "transcribe", failing)
    await session.feed(user.speech("lost words") + user.silence(900))
    turn = await heard_turn(session)
    assert turn.text == ""
    assert turn.error is not None
    assert turn.error.code is ErrorCode.OVERLOADED
    await session.close("client")
    (ended,) = [event for event in await all_events(sessions, session.session_id) if isinstance(event, TurnEnded)]
    assert ended.error == turn.error


async def test_a_failing_turn_detector_leaves_the_decision_to_silence(
    sessions: SessionManager, user: Any, monkeypatch: pytest.MonkeyPatch, heard_turn: Any
) -> None:
    async def failing(*_: Any, **__: Any) -> None:
        raise SpeechError(ErrorCode.ENGINE_FAILED, "broken")

    session = await sessions.open(SessionSettings())
    monkeypatch.setattr(EngineHost, "score_turn", failing)
    await session.feed(user.speech("fine anyway") + user.silence(900))
    turn = await heard_turn(session)
    assert turn.text == "fine anyway"


async def test_a_store_that_fails_ends_the_session_and_lets_its_followers_go(
    sessions: SessionManager, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, user: Any
) -> None:
    session = await sessions.open(SessionSettings())
    await session.log.flush()

    async def failing(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    other = await sessions.open(SessionSettings())
    await other.log.flush()
    monkeypatch.setattr(store, "append", failing)
    monkeypatch.setattr(store, "set_state", failing)
    with anyio.fail_after(20):
        await session.feed(user.speech("words") + user.silence(900))
        await session.ended.wait()
    assert sessions.live_count == 1
    assert other.info.state is SessionState.OPEN


async def test_a_vad_that_breaks_fails_the_session_with_a_reason(
    sessions: SessionManager, monkeypatch: pytest.MonkeyPatch, user: Any, all_events: Any
) -> None:
    async def failing(*_: Any, **__: Any) -> None:
        raise SpeechError(ErrorCode.ENGINE_FAILED, "broken")

    session = await sessions.open(SessionSettings())
    monkeypatch.setattr(EngineHost, "score_vad", failing)
    await session.feed(user.silence(100))
    with anyio.fail_after(20):
        await session.ended.wait()
    events = await all_events(sessions, session.session_id)
    assert isinstance(events[-1], SessionClosed)
    assert events[-1].reason == "failed"
