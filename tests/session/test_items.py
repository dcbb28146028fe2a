"""What the agent says, end to end over fake engines, with virtual time."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from engines.fake import FakeBehaviour
from engines.host import EngineHost
from schemas.errors import ErrorCode, SpeechError
from schemas.events import (
    PlaybackFlush,
    SayAudio,
    SayEnded,
    SayStarted,
)
from schemas.sessions import (
    AgentTurn,
    HeardSource,
    SessionSettings,
    SpeechStatus,
)
from schemas.speech import LexiconEntry, SpeechOptions
from session.clock import FakeClock
from session.manager import SessionManager

pytestmark = pytest.mark.anyio


async def test_say_is_played_to_its_end_and_heard_whole(sessions: SessionManager, stage: Any) -> None:
    session = await sessions.open(SessionSettings())
    item_id = await session.say("Good morning. How are you?")
    spoken: list[AgentTurn] = []

    async def wait() -> None:
        spoken.append(await session.wait_spoken(item_id))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await stage.until(lambda: bool(spoken))
    (turn,) = spoken
    assert turn.status is SpeechStatus.COMPLETED
    assert turn.heard_text == turn.text == "Good morning. How are you?"
    assert turn.remaining_text == ""
    assert turn.heard_source is HeardSource.ESTIMATED


async def test_audio_of_an_item_is_contiguous_and_its_pcm_has_its_length(
    sessions: SessionManager, stage: Any, agent_turn: Any
) -> None:
    session = await sessions.open(SessionSettings(output_rate_hz=8_000))
    item_id = await session.say("A few words to be spoken here.")
    await stage.until(lambda: agent_turn(session, item_id).status is SpeechStatus.COMPLETED)
    offset_samples = 0
    async with sessions.subscribe(session.session_id) as events:
        async for published in events:
            if isinstance(published.event, SayAudio):
                assert published.pcm is not None
                assert published.event.offset_ms == offset_samples * 1000 // 8_000
                offset_samples += len(published.pcm) // 2
            if isinstance(published.event, SayEnded):
                assert published.event.duration_ms == offset_samples * 1000 // 8_000
                break


async def test_barge_in_flushes_and_truncates_to_what_was_heard(
    sessions: SessionManager, user: Any, stage: Any, heard_turn: Any
) -> None:
    session = await sessions.open(SessionSettings())
    item_id = await session.say("one two three four five six seven eight nine ten eleven twelve")
    async with sessions.subscribe(session.session_id) as events:
        await stage.collect(events, SayAudio)
    await stage.until(lambda: len(session.log.audio.of_item(item_id, 24_000)) > 2 * 24_000 * 1.2)
    await session.playback(item_id, 900)
    await session.feed(user.speech("stop please") + user.silence(900))
    async with sessions.subscribe(session.session_id) as events:
        before = await stage.collect(events, PlaybackFlush)
        await session.playback(item_id, 1_000, final=True)
        after = await stage.collect(events, SayEnded)
    flush, ended = before[-1], after[-1]
    assert isinstance(flush, PlaybackFlush)
    assert isinstance(ended, SayEnded)
    assert flush.epoch == 2
    assert all(event.epoch == 1 for event in before if isinstance(event, SayAudio))
    assert not [event for event in after if isinstance(event, SayAudio)]
    assert ended.status is SpeechStatus.INTERRUPTED
    assert ended.heard_ms == 1_000
    assert ended.heard_source is HeardSource.ACKNOWLEDGED
    assert f"{ended.heard_text} {ended.remaining_text}".split() == (
        "one two three four five six seven eight nine ten eleven twelve".split()
    )
    assert 1 <= len(ended.heard_text.split()) <= 6
    turn = await heard_turn(session)
    assert turn.text == "stop please"


async def test_no_audio_follows_the_flush_even_if_it_was_due_at_that_moment(
    sessions: SessionManager, stage: Any, clock: FakeClock, all_events: Any, agent_turn: Any
) -> None:
    session = await sessions.open(SessionSettings())
    item_id = await session.say("one two three four five six seven eight nine ten " * 4)
    await stage.until(lambda: agent_turn(session, item_id).status is SpeechStatus.SPEAKING, step_s=0.0)
    for _ in range(3):  # until the speaker waits for the loudspeaker
        await wait_all_tasks_blocked()
    clock.advance(1.0)
    session.silence()
    await stage.until(lambda: agent_turn(session, item_id).status is SpeechStatus.INTERRUPTED)
    await session.close("client")
    events = await all_events(sessions, session.session_id)
    flush = next(index for index, event in enumerate(events) if isinstance(event, PlaybackFlush))
    assert any(isinstance(event, SayAudio) for event in events[:flush])
    assert not any(isinstance(event, SayAudio) for event in events[flush:])


async def test_without_a_final_position_truncation_comes_after_the_wait(
    sessions: SessionManager, user: Any, stage: Any, agent_turn: Any
) -> None:
    session = await sessions.open(SessionSettings())
    item_id = await session.say("one two three four five six seven eight nine ten")
    await session.feed(user.speech("stop now please"))
    await stage.until(lambda: agent_turn(session, item_id).status is SpeechStatus.INTERRUPTED)
    assert agent_turn(session, item_id).heard_source is HeardSource.ESTIMATED


async def test_stop_speaking_returns_what_was_heard_of_each_item(
    sessions: SessionManager, stage: Any, agent_turn: Any
) -> None:
    session = await sessions.open(SessionSettings())
    first = await session.say("the first thing to say")
    second = await session.say("the second thing")
    await stage.until(lambda: agent_turn(session, first).status is SpeechStatus.SPEAKING)
    stopped: list[tuple[AgentTurn, ...]] = []

    async def stop() -> None:
        stopped.append(await session.stop_speaking())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        await stage.until(lambda: bool(stopped))
    ((one, two),) = stopped
    assert (one.item_id, two.item_id) == (first, second)
    assert one.status is two.status is SpeechStatus.INTERRUPTED
    assert two.heard_text == ""
    assert two.remaining_text == "the second thing"


async def test_text_streamed_into_an_item_is_spoken_as_one(
    sessions: SessionManager, stage: Any, agent_turn: Any
) -> None:
    session = await sessions.open(SessionSettings())
    item_id = await session.say("Streaming ", more=True)
    await session.say("works well. And ", append_to=item_id, more=True)
    await session.say("it ends here.", append_to=item_id)
    await stage.until(lambda: agent_turn(session, item_id).status is SpeechStatus.COMPLETED)
    assert agent_turn(session, item_id).heard_text == "Streaming works well. And it ends here."
    with pytest.raises(SpeechError) as error:
        await session.say("too late", append_to=item_id)
    assert error.value.code is ErrorCode.INVALID_REQUEST


async def test_the_rest_of_a_text_that_never_comes_is_not_waited_for_for_ever(
    sessions: SessionManager, stage: Any, monkeypatch: pytest.MonkeyPatch, agent_turn: Any
) -> None:
    monkeypatch.setattr("session.speaking.MORE_TEXT_TIMEOUT_S", 0.05)
    session = await sessions.open(SessionSettings())
    item_id = await session.say("To be continued", more=True)
    await stage.until(lambda: agent_turn(session, item_id).status is SpeechStatus.COMPLETED)


async def test_a_client_that_stops_playing_ends_the_item_with_what_it_heard(
    sessions: SessionManager, stage: Any, agent_turn: Any
) -> None:
    session = await sessions.open(SessionSettings())
    item_id = await session.say("one two three four five six seven eight nine ten")
    await stage.until(lambda: session.log.last_seq > 8)
    await session.playback(item_id, 100)
    await stage.until(lambda: agent_turn(session, item_id).status is SpeechStatus.INTERRUPTED, step_s=1.0)
    assert agent_turn(session, item_id).heard_ms == 1_100


async def test_a_failing_voice_fails_the_item_and_not_the_session(
    sessions: SessionManager,
    stage: Any,
    behaviour: FakeBehaviour,
    user: Any,
    all_events: Any,
    agent_turn: Any,
    heard_turn: Any,
) -> None:
    session = await sessions.open(SessionSettings())
    behaviour.failure = RuntimeError("the engine is on fire")
    item_id = await session.say("this will not work")
    await stage.until(lambda: agent_turn(session, item_id).status is SpeechStatus.FAILED)
    behaviour.failure = None
    await session.feed(user.speech("still here") + user.silence(900))
    await heard_turn(session)
    await session.close("client")
    (ended,) = [e for e in await all_events(sessions, session.session_id) if isinstance(e, SayEnded)]
    assert ended.error is not None
    assert ended.error.code is ErrorCode.ENGINE_FAILED
    assert "fire" not in ended.error.message


async def test_an_item_takes_no_endless_text(sessions: SessionManager) -> None:
    session = await sessions.open(SessionSettings())
    item_id = await session.say("begin ", more=True)
    for _ in range(9):
        await session.say("x" * 5_000, append_to=item_id, more=True)
    with pytest.raises(SpeechError) as error:
        await session.say("x" * 5_000, append_to=item_id, more=True)
    assert error.value.code is ErrorCode.TEXT_TOO_LONG


async def test_a_session_queues_no_endless_items(sessions: SessionManager) -> None:
    session = await sessions.open(SessionSettings())
    for _ in range(16):
        await session.say("another thing")
    with pytest.raises(SpeechError) as error:
        await session.say("one too many")
    assert error.value.code is ErrorCode.SESSION_BUSY


async def test_say_started_names_the_voice(sessions: SessionManager, stage: Any) -> None:
    session = await sessions.open(SessionSettings(voice="fake-bass"))
    await session.say("Deep.")
    async with sessions.subscribe(session.session_id) as events:
        *_, started = await stage.collect(events, SayStarted)
    assert isinstance(started, SayStarted)
    assert started.voice == "fake-bass"


async def test_what_one_say_asks_for_comes_on_top_of_what_the_session_does(
    sessions: SessionManager, stage: Any, monkeypatch: pytest.MonkeyPatch, agent_turn: Any
) -> None:
    asked: list[SpeechOptions] = []
    synthesize = EngineHost.synthesize

    def spied(host: EngineHost, text: str, *, options: SpeechOptions, **rest: Any) -> Any:
        asked.append(options)
        return synthesize(host, text, options=options, **rest)

    monkeypatch.setattr(EngineHost, "synthesize", spied)
    own, session_wide = LexiconEntry(word="nginx", say="engine x"), LexiconEntry(word="kubectl", say="cube control")
    session = await sessions.open(SessionSettings(speed=2.0, gain_db=-6.0, lexicon=(session_wide,)))
    for options in (None, SpeechOptions(speed=1.5, gain_db=3.0, lexicon=(own,)), SpeechOptions(speed=4.0)):
        item_id = await session.say("Say this.", options=options)
        await stage.until(lambda item_id=item_id: agent_turn(session, item_id).status is SpeechStatus.COMPLETED)
    assert [(each.speed, each.gain_db) for each in asked] == [(2.0, -6.0), (3.0, -3.0), (4.0, -6.0)]
    assert [each.lexicon for each in asked] == [(session_wide,), (own, session_wide), (session_wide,)]


async def test_a_lexicon_that_is_wrong_opens_no_session(sessions: SessionManager) -> None:
    with pytest.raises(SpeechError) as error:
        await sessions.open(SessionSettings(lexicon=(LexiconEntry(word="nginx"),)))
    assert error.value.code is ErrorCode.INVALID_REQUEST
