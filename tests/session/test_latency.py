"""The latency of turns: parts that add up, from the core's steps to what a client reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from hypothesis import given
from hypothesis import strategies as st

from schemas.audio import VAD_FRAME_SAMPLES
from schemas.events import SayAudio, SayEnded, ServerEvent, SessionClosed, TurnEnded, TurnLatencyMeasured, TurnReopened
from schemas.sessions import HeardSource, SessionSettings, SpeechStatus, TurnLatency, UserTurn
from session.clock import FakeClock
from session.latency import LatencyLedger, TurnMoments
from session.manager import SessionManager
from session.turn_state import TurnState, ms_of_samples, samples_of_ms

pytestmark = pytest.mark.anyio

FRAME_US = 32_000


class Account:
    """A ledger, its clock, and what it tells."""

    def __init__(self) -> None:
        self.published: list[ServerEvent] = []
        self.closed: list[TurnMoments] = []
        self.ledger = LatencyLedger(self.published.append, self.closed.append)
        self.state = TurnState()
        self.now_us = 1_000_000

    def hear(self, frames: int, *, decided: bool = False) -> None:
        for frame in range(frames):
            self.now_us += FRAME_US
            after = TurnState(
                now_samples=self.state.now_samples + VAD_FRAME_SAMPLES, decided_samples=self.state.decided_samples
            )
            self.step(after)
            if decided and frame == frames - 1:
                self.decide()

    def decide(self) -> None:
        self.step(TurnState(now_samples=self.state.now_samples, decided_samples=self.state.now_samples))

    def step(self, after: TurnState) -> None:
        self.ledger.stepped(self.state, after, self.now_us)
        self.state = after

    def end(self, silence_ms: int, turn: int = 1) -> TurnLatency:
        decided_ms = ms_of_samples(self.state.decided_samples)
        ended = TurnEnded(
            turn=turn, text="", language="", started_ms=0, ended_ms=decided_ms - silence_ms, decided_ms=decided_ms
        )
        published = self.ledger.published(ended, self.now_us)
        assert isinstance(published, TurnEnded)
        assert published.latency is not None
        return published.latency

    def queue(self, item_id: str = "item_1", offset_ms: int = 0) -> None:
        self.ledger.published(SayAudio(item_id=item_id, epoch=1, offset_ms=offset_ms, duration_ms=100), self.now_us)

    def acknowledge(self, item_id: str = "item_1", played_ms: int = 40) -> None:
        self.ledger.acked(item_id, played_ms, self.now_us)

    def end_item(self, item_id: str = "item_1") -> None:
        over = SayEnded(
            item_id=item_id,
            status=SpeechStatus.COMPLETED,
            heard_text="",
            remaining_text="",
            heard_ms=0,
            duration_ms=100,
            heard_source=HeardSource.ESTIMATED,
        )
        self.ledger.published(over, self.now_us)


def test_each_part_is_the_time_from_the_moment_before() -> None:
    account = Account()
    account.hear(20, decided=True)
    account.now_us += 70_000
    assert account.end(320) == TurnLatency(decision_ms=320, final_ms=70, total_ms=390)
    account.now_us += 400_000
    account.queue()
    account.now_us += 110_000
    account.acknowledge()
    measured = TurnLatency(decision_ms=320, final_ms=70, queued_ms=400, acked_ms=110, total_ms=900)
    assert account.published == [TurnLatencyMeasured(turn=1, item_id="item_1", latency=measured)]
    assert [moments.latency for moments in account.closed] == [measured]


def test_audio_that_comes_while_the_text_is_awaited_moves_nothing() -> None:
    account = Account()
    account.hear(20, decided=True)
    account.hear(5)
    assert account.end(320) == TurnLatency(decision_ms=320, final_ms=160, total_ms=480)


def test_a_decision_because_no_audio_comes_counts_the_time_without_any() -> None:
    account = Account()
    account.hear(10)
    account.now_us += 1_000_000
    account.decide()
    assert account.end(64).decision_ms == 1_064


def test_of_a_file_that_comes_at_once_the_silence_counts_as_long_as_it_sounds() -> None:
    account = Account()
    account.step(TurnState(now_samples=samples_of_ms(5_000), decided_samples=samples_of_ms(5_000)))
    assert account.end(600) == TurnLatency(decision_ms=600, final_ms=0, total_ms=600)


def test_an_item_that_was_audible_before_the_turn_ended_is_not_the_answer() -> None:
    account = Account()
    account.queue("item_1")
    account.hear(20, decided=True)
    account.end(320)
    account.queue("item_1", offset_ms=100)
    account.acknowledge("item_1")
    account.end_item("item_1")
    assert account.closed == []
    account.queue("item_2")
    account.acknowledge("item_2")
    assert [moments.item_id for moments in account.closed] == ["item_2"]


def test_without_acknowledgements_the_account_ends_with_the_answer() -> None:
    account = Account()
    account.hear(20, decided=True)
    account.end(320)
    account.now_us += 100_000
    account.queue()
    account.acknowledge(played_ms=0)
    account.now_us += 900_000
    account.end_item()
    assert account.closed[0].latency == TurnLatency(decision_ms=320, final_ms=0, queued_ms=100, total_ms=420)


def test_a_turn_that_is_reopened_has_the_account_of_its_last_end() -> None:
    account = Account()
    account.hear(20, decided=True)
    account.end(320)
    account.ledger.published(TurnReopened(turn=1, resumed_ms=700), account.now_us)
    account.hear(40, decided=True)
    account.end(600)
    account.ledger.close()
    assert [moments.latency.decision_ms for moments in account.closed] == [600]


def test_a_turn_that_nothing_answers_is_told_once_and_not_published() -> None:
    account = Account()
    account.hear(20, decided=True)
    account.end(320)
    account.hear(20, decided=True)
    account.end(320, turn=2)
    account.ledger.close()
    account.ledger.close()
    assert [(moments.turn, moments.item_id) for moments in account.closed] == [(1, None), (2, None)]
    assert account.published == []


DURATIONS_US = st.integers(min_value=0, max_value=20_000_000)


@given(st.tuples(DURATIONS_US, DURATIONS_US, DURATIONS_US, DURATIONS_US), st.integers(min_value=0, max_value=4))
def test_the_parts_that_are_known_always_sum_to_the_total(durations_us: tuple[int, ...], answered: int) -> None:
    start_us = 123_457
    ends_us = [start_us + sum(durations_us[: index + 1]) for index in range(4)]
    moments = TurnMoments(
        turn=1,
        speech_end_us=start_us,
        decided_us=ends_us[0],
        final_us=ends_us[1],
        queued_us=ends_us[2] if answered >= 1 else None,
        acked_us=ends_us[3] if answered >= 2 else None,
    )
    latency = moments.latency
    parts = [latency.decision_ms, latency.final_ms, latency.queued_ms, latency.acked_ms]
    assert sum(part for part in parts if part is not None) == latency.total_ms
    assert all(part is None or part >= 0 for part in parts)
    last_us = moments.acked_us or moments.queued_us or moments.final_us
    assert latency.total_ms == (last_us - start_us) // 1000


# In sessions


class User(Protocol):
    def speech(self, text: str) -> bytes: ...

    def silence(self, ms: int) -> bytes: ...


AllEvents = Callable[[SessionManager, str], Awaitable[list[ServerEvent]]]


async def test_a_session_tells_the_latency_of_each_turn_in_events_and_history(
    sessions: SessionManager, user: User, clock: FakeClock, all_events: AllEvents
) -> None:
    told: list[tuple[str, TurnMoments]] = []
    sessions.observe(lambda session_id, moments: told.append((session_id, moments)))
    with anyio.fail_after(20):
        session = await sessions.open(SessionSettings())
        await session.feed(user.speech("Hello there.") + user.silence(1_500))
        turn = await session.listen(20)
        assert turn is not None
        assert turn.latency is not None
        assert turn.latency.queued_ms is None
        assert 250 <= turn.latency.decision_ms <= 700
        clock.advance(0.25)
        item_id = await session.say("Hello to you.")
        audio = await _first_audio(sessions, session.session_id)
        clock.advance(0.15)
        await session.playback(audio.item_id, 100)
        await wait_all_tasks_blocked()
        conversation = await sessions.conversation(session.session_id)
        await sessions.close(session.session_id)
    events = await all_events(sessions, session.session_id)
    (ended,) = [event for event in events if isinstance(event, TurnEnded)]
    (measured,) = [event for event in events if isinstance(event, TurnLatencyMeasured)]
    assert ended.latency == turn.latency
    latency = measured.latency
    assert (measured.turn, measured.item_id) == (turn.turn, item_id)
    assert latency.decision_ms == turn.latency.decision_ms
    assert (latency.queued_ms, latency.acked_ms) == (250, 150)
    assert latency.total_ms == latency.decision_ms + latency.final_ms + 400
    heard = conversation.items[0]
    assert isinstance(heard, UserTurn)
    assert heard.latency == latency
    ((session_id, moments),) = told
    assert (session_id, moments.latency) == (session.session_id, latency)
    assert isinstance(events[-1], SessionClosed)


async def _first_audio(sessions: SessionManager, session_id: str) -> SayAudio:
    async with sessions.subscribe(session_id) as events:
        async for published in events:
            if isinstance(published.event, SayAudio):
                return published.event
    raise AssertionError("there was no audio")
