"""The user's turns as a client sees them, over fake engines."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Protocol

import anyio
import numpy as np
import pytest
from msgspec.structs import replace

from engines.base import AsrJob, TurnAudio
from engines.fake import FakeAsr, FakeBehaviour, FakeTts, FakeTurnDetector, fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from schemas.errors import ErrorCode, SpeechError
from schemas.events import (
    Clear,
    Commit,
    Dtmf,
    DtmfReceived,
    InputStalled,
    Mute,
    ServerEvent,
    SessionIdle,
    SpeechStarted,
    TurnAmended,
    TurnCleared,
    TurnEager,
    TurnEnded,
    TurnNoResponse,
    TurnReopened,
    TurnResumed,
)
from schemas.sessions import SessionSettings, TurnDetection, TurnProfile, TurnSettings, UserTurn
from schemas.transcripts import Transcript
from session.clock import FakeClock
from session.manager import SessionManager
from session.runner import Session
from session.stores.memory import MemoryStore
from session.turn_state import UserState

pytestmark = pytest.mark.anyio

AllEvents = Callable[..., Awaitable[list[ServerEvent]]]
LOUD = 0.05
MANUAL = SessionSettings(turn=TurnSettings(detection=TurnDetection.MANUAL))


class User(Protocol):
    def speech(self, text: str) -> bytes: ...

    def silence(self, ms: int) -> bytes: ...


class Stage(Protocol):
    async def until(self, condition: Callable[[], bool]) -> None: ...


@pytest.fixture
async def hesitant(store: MemoryStore, clock: FakeClock) -> AsyncGenerator[SessionManager]:
    """Sessions whose turn detector thinks that every pause may be an end, and may be none."""
    engines = fake_engines(turn_scores=(0.5,))
    async with EngineHost(engines, HostSettings()) as host, SessionManager(host, store, clock=clock) as manager:
        yield manager


def published(session: Session, kind: type[ServerEvent]) -> list[ServerEvent]:
    return [event for event in session.log._tail if isinstance(event, kind)]


async def until_published(session: Session, kind: type[ServerEvent], count: int = 1) -> ServerEvent:
    while len(found := published(session, kind)) < count:
        await anyio.lowlevel.checkpoint()
    return found[-1]


async def test_a_turn_is_eager_before_it_ends_with_the_same_text(
    hesitant: SessionManager, user: User, all_events: AllEvents
) -> None:
    with anyio.fail_after(20):
        session = await hesitant.open(SessionSettings(partials=False))
        await session.feed(user.speech("Fly me to Berlin.") + user.silence(1_500))
        early = await session.listen(20, eager=True)
        turn = await session.listen(20, eager=True)
        await session.close("client")
    assert early is not None
    assert turn is not None
    assert (early.text, early.confirmed) == ("Fly me to Berlin.", False)
    assert replace(turn, latency=None) == replace(early, confirmed=True)
    told = await all_events(hesitant, session.session_id)
    verdicts = [type(event) for event in told if isinstance(event, TurnEager | TurnResumed | TurnEnded)]
    assert verdicts == [TurnEager, TurnEnded]


async def test_the_turn_detector_is_told_how_much_of_a_turn_is_silence(
    store: MemoryStore, clock: FakeClock, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[TurnAudio] = []

    class Detector(FakeTurnDetector):
        def score(self, clips: Sequence[TurnAudio]) -> list[float]:
            heard.extend(clips)
            return super().score(clips)

    monkeypatch.setattr("engines.fake.FakeTurnDetector", Detector)
    engines = fake_engines(turn_scores=(0.2,))
    async with EngineHost(engines, HostSettings()) as host, SessionManager(host, store, clock=clock) as manager:
        with anyio.fail_after(20):
            session = await manager.open(SessionSettings(partials=False))
            await session.feed(user.speech("Fly me to Berlin.") + user.silence(640))
            await session.feed(user.speech("or Paris.") + user.silence(4_000))
            await session.listen(20)
    assert len(heard) > 4
    silences = [clip.silence_samples for clip in heard]
    assert silences[0] < silences[1]
    assert any(later < earlier for earlier, later in pairwise(silences)), "the second pause begins anew"
    for clip in heard:
        silence = clip.samples[len(clip.samples) - clip.silence_samples :]
        assert np.abs(silence).max() < LOUD < np.abs(clip.samples[: -clip.silence_samples][-512:]).max()


async def test_what_the_recogniser_knows_of_how_a_text_ends_has_a_part_in_when_the_turn_does(
    clock: FakeClock, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def waited_ms(sentence_end: float | None) -> int:
        class Asr(FakeAsr):
            def transcribe(self, jobs: Sequence[AsrJob]) -> list[Transcript | SpeechError]:
                rows = zip(jobs, super().transcribe(jobs), strict=True)
                return [
                    replace(row, sentence_end=sentence_end)
                    if job.options.sentence_end and isinstance(row, Transcript)
                    else row
                    for job, row in rows
                ]

        monkeypatch.setattr("engines.fake.FakeAsr", Asr)
        engines, store = fake_engines(turn_scores=(0.8,)), MemoryStore()
        async with EngineHost(engines, HostSettings()) as host, SessionManager(host, store, clock=clock) as made:
            with anyio.fail_after(20):
                session = await made.open(SessionSettings(language="en"))
                await session.feed(user.speech("We would like to order a pizza.") + user.silence(4_000))
                turn = await until_published(session, TurnEnded)
        assert isinstance(turn, TurnEnded)
        return turn.decided_ms - turn.ended_ms

    assert await waited_ms(0.7) < await waited_ms(None) <= await waited_ms(0.001)


async def test_who_listens_as_ever_gets_no_eager_turn(hesitant: SessionManager, user: User) -> None:
    with anyio.fail_after(20):
        session = await hesitant.open(SessionSettings(partials=False))
        await session.feed(user.speech("Fly me to Berlin.") + user.silence(1_500))
        turn = await session.listen(20)
    assert turn is not None
    assert turn.confirmed


async def test_an_eager_turn_that_goes_on_is_resumed_and_handed_out_whole(hesitant: SessionManager, user: User) -> None:
    with anyio.fail_after(20):
        session = await hesitant.open(SessionSettings(partials=False, turn=TurnSettings(profile=TurnProfile.PATIENT)))
        await session.feed(user.speech("Fly me to Berlin.") + user.silence(320))
        early = await session.listen(20, eager=True)
        await session.feed(user.speech("or Paris.") + user.silence(3_000))
        turn = await session.listen(20)
    assert early is not None
    assert early.text == "Fly me to Berlin."
    assert turn is not None
    assert (turn.turn, turn.text) == (1, "Fly me to Berlin. or Paris.")
    assert len(published(session, TurnResumed)) == 1


async def test_a_session_that_closes_leaves_no_eager_turn_without_a_verdict(
    hesitant: SessionManager, user: User, all_events: AllEvents
) -> None:
    with anyio.fail_after(20):
        session = await hesitant.open(SessionSettings(partials=False))
        await session.feed(user.speech("Fly me to Berlin.") + user.silence(256))
        await until_published(session, TurnEager)
        await session.close("client")
    told = await all_events(hesitant, session.session_id)
    assert [type(event) for event in told if isinstance(event, TurnEager | TurnResumed)] == [TurnEager, TurnResumed]


async def test_a_turn_that_is_reopened_is_handed_out_again_with_all_of_its_text(
    sessions: SessionManager, user: User
) -> None:
    with anyio.fail_after(20):
        session = await sessions.open(SessionSettings(partials=False))
        await session.feed(user.speech("A pizza, please.") + user.silence(480))
        first = await session.listen(20)
        await session.feed(user.speech("With mushrooms.") + user.silence(1_500))
        second = await session.listen(20, after_turn=1)
        conversation = await sessions.conversation(session.session_id)
    assert first is not None
    assert second is not None
    assert (first.turn, first.text, first.revision) == (1, "A pizza, please.", 1)
    assert (second.turn, second.text, second.revision) == (1, "A pizza, please. With mushrooms.", 2)
    assert conversation.items == (second,)
    assert len(published(session, TurnReopened)) == 1
    assert len(published(session, SpeechStarted)) == 1


async def test_an_answer_that_was_not_heard_is_dropped_when_the_turn_is_reopened(clock: FakeClock, user: User) -> None:
    engines = fake_engines()
    hanging = FakeBehaviour()
    hanging.hang()
    engines["fake-tts"] = replace(engines["fake-tts"], load=lambda: FakeTts(behaviour=hanging))
    async with EngineHost(engines, HostSettings()) as host, SessionManager(host, MemoryStore(), clock=clock) as manager:
        with anyio.fail_after(20):
            session = await manager.open(SessionSettings(partials=False))
            await session.feed(user.speech("A pizza, please.") + user.silence(480))
            await session.listen(20)
            item_id = await session.say("Which one?")
            await session.feed(user.speech("With mushrooms.")[:8_000])
            await until_published(session, TurnReopened)
            await session.playback(item_id, 0, final=True)
            answer = await session.wait_spoken(item_id)
    assert (answer.heard_text, answer.remaining_text) == ("", "Which one?")


async def test_a_turn_at_which_nothing_happens_any_more_is_reported(
    sessions: SessionManager, user: User, stage: Stage
) -> None:
    with anyio.fail_after(20):
        session = await sessions.open(SessionSettings(partials=False))
        await session.feed(user.speech("Anybody there?") + user.silence(1_000))
        await session.listen(20)
        await stage.until(lambda: bool(published(session, SessionIdle)))
    assert [type(event) for event in session.log._tail if isinstance(event, TurnNoResponse | SessionIdle)] == [
        TurnNoResponse,
        SessionIdle,
    ]


async def test_a_late_final_transcript_amends_the_turn(clock: FakeClock, user: User, stage: Stage) -> None:
    engines = fake_engines()
    hanging = FakeBehaviour()
    engines["fake-asr"] = replace(engines["fake-asr"], load=lambda: FakeAsr(behaviour=hanging))
    async with EngineHost(engines, HostSettings()) as host, SessionManager(host, MemoryStore(), clock=clock) as manager:
        with anyio.fail_after(20):
            session = await manager.open(SessionSettings())
            text = "Long enough for this"
            await session.feed(user.speech(text))
            while not (turn := session._state).heard:
                await anyio.lowlevel.checkpoint()
            hanging.hang()
            for _ in range(7):  # as it is spoken: what waits to be heard would wait for the transcript
                await session.feed(user.silence(320))
                while session._input.unheard_s >= 0.032:
                    await anyio.lowlevel.checkpoint()
            await stage.until(lambda: bool(published(session, TurnEnded)))
            provisional = await session.listen(20)
            hanging.go_on()
            await until_published(session, TurnAmended)
            (final,) = session.history.user_turns(0)
    assert turn.heard is not None
    assert isinstance(provisional, UserTurn)
    assert provisional.provisional
    assert text.startswith(provisional.text)
    assert (final.text, final.provisional) == (text, False)


async def test_a_recording_waits_for_its_final_transcript(clock: FakeClock, user: User) -> None:
    engines = fake_engines()
    hanging = FakeBehaviour()
    engines["fake-asr"] = replace(engines["fake-asr"], load=lambda: FakeAsr(behaviour=hanging))
    async with EngineHost(engines, HostSettings()) as host, SessionManager(host, MemoryStore(), clock=clock) as manager:
        with anyio.fail_after(20):
            session = await manager.open(SessionSettings(turn=TurnSettings(silence_duration_ms=600)))
            text = "Long enough for this"
            speech = user.speech(text)
            await session.feed(speech[:-9_600])
            while not session._state.heard:
                await anyio.lowlevel.checkpoint()
            hanging.hang()
            await session.feed(speech[-9_600:] + user.silence(1_600))
            while session._state.user is not UserState.COMMIT:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            clock.advance(10.0)  # somebody who speaks now would have had the newest partial by then
            await anyio.wait_all_tasks_blocked()
            assert not published(session, TurnEnded)
            hanging.go_on()
            turn = await session.listen(20)
    assert turn is not None
    assert (turn.text, turn.provisional) == (text, False)


async def test_the_client_ends_the_turn_with_the_audio_sent_so_far(sessions: SessionManager, user: User) -> None:
    with anyio.fail_after(20):
        session = await sessions.open(MANUAL)
        await session.feed(user.speech("Over and out") + user.silence(64)[:-200])
        await session.command(Commit())
        turn = await session.listen(20)
    assert turn is not None
    assert turn.text == "Over and out"
    (ended,) = published(session, TurnEnded)
    assert isinstance(ended, TurnEnded)
    assert ended.reason == "command"


async def test_silence_does_not_end_a_turn_that_the_client_ends(sessions: SessionManager, user: User) -> None:
    with anyio.fail_after(20):
        session = await sessions.open(MANUAL)
        await session.feed(user.speech("Over") + user.silence(5_000))
        await until_published(session, InputStalled)
        assert await session.listen(0.01) is None
        await session.command(Commit())
        turn = await session.listen(20)
    assert turn is not None


async def test_a_commit_of_nothing_is_refused(sessions: SessionManager, user: User) -> None:
    with anyio.fail_after(20):
        session = await sessions.open(SessionSettings())
        await session.feed(user.silence(320))
        with pytest.raises(SpeechError) as caught:
            await session.command(Commit())
    assert (caught.value.code, caught.value.http_status) == (ErrorCode.NOTHING_TO_COMMIT, 409)


async def test_a_cleared_turn_is_never_handed_out(sessions: SessionManager, user: User) -> None:
    with anyio.fail_after(20):
        session = await sessions.open(SessionSettings(partials=False))
        await session.feed(user.speech("Forget this."))
        await session.command(Clear())
        await session.feed(user.silence(1_000) + user.speech("But not this.") + user.silence(1_000))
        turn = await session.listen(20)
    assert turn is not None
    assert (turn.turn, turn.text) == (2, "But not this.")
    assert len(published(session, TurnCleared)) == 1


async def test_what_is_said_while_muted_is_not_heard(sessions: SessionManager, user: User) -> None:
    with anyio.fail_after(20):
        session = await sessions.open(SessionSettings(partials=False))
        await session.command(Mute(muted=True))
        await session.feed(user.speech("A secret.") + user.silence(1_000))
        await session.command(Mute(muted=False))
        await session.feed(user.speech("No secret.") + user.silence(1_000))
        turn = await session.listen(20)
    assert turn is not None
    assert (turn.turn, turn.text) == (1, "No secret.")


async def test_keys_of_a_telephone_are_events(sessions: SessionManager) -> None:
    with anyio.fail_after(20):
        session = await sessions.open(SessionSettings())
        await session.command(Dtmf(digit="#"))
    assert [event.digit for event in published(session, DtmfReceived) if isinstance(event, DtmfReceived)] == ["#"]


async def test_a_command_to_a_session_that_is_over_is_refused(sessions: SessionManager) -> None:
    with anyio.fail_after(20):
        session = await sessions.open(SessionSettings())
        await session.close("client")
        with pytest.raises(SpeechError) as caught:
            await session.command(Mute(muted=True))
    assert caught.value.code is ErrorCode.SESSION_CLOSED


async def test_the_size_of_pieces_changes_no_turn(sessions: SessionManager, user: User) -> None:
    audio = user.speech("One thing.") + user.silence(2_000) + user.speech("Another.") + user.silence(2_000)
    found: list[list[tuple[str, int, int]]] = []
    with anyio.fail_after(60):
        for piece_bytes in (2_000_000, 1_024, 346):
            session = await sessions.open(SessionSettings(partials=False))
            for start in range(0, len(audio), piece_bytes):
                await session.feed(audio[start : start + piece_bytes])
            turns = [await session.listen(20) for _ in range(2)]
            found.append([(turn.text, turn.started_ms, turn.ended_ms) for turn in turns if turn])
    assert [text for text, _, _ in found[0]] == ["One thing.", "Another."]
    assert found == [found[0]] * 3
