"""The session tools together, as an agent uses them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from engines.fake import FakeBehaviour
from schemas.errors import ErrorCode, SpeechError
from schemas.sessions import AgentTurn, HeardSource, SessionState, SpeechStatus, UserTurn
from session.clock import FakeClock
from session.manager import SessionManager
from session.runner import Session
from tools.registry import TOOLS
from tools.tool import ToolContext

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[Any]]
Refused = Callable[..., Awaitable[SpeechError]]
Until = Callable[[Callable[[], bool]], Awaitable[None]]

LONG = "This answer takes a good while to say and nobody wants to hear all of it."


class Pending:
    """A call of a tool that is under way."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self.scope = anyio.CancelScope()

    @property
    def done(self) -> bool:
        return bool(self.results)

    async def run(self, context: ToolContext, name: str, arguments: dict[str, Any]) -> None:
        with self.scope:
            self.results.append(await TOOLS.call(name, arguments, context))


Start = Callable[..., Pending]


@pytest.fixture
async def session(call: Call, sessions: SessionManager) -> Session:
    opened = await call("open_session")
    return await sessions.find(opened.session_id)


@pytest.fixture
async def start(context: ToolContext) -> Any:
    """Starts a call of a tool, in a task."""
    async with anyio.create_task_group() as tasks:

        def start_call(name: str, /, **arguments: Any) -> Pending:
            pending = Pending()
            tasks.start_soon(pending.run, context, name, arguments)
            return pending

        yield start_call
        tasks.cancel_scope.cancel()


def is_speaking(session: Session) -> bool:
    return any(isinstance(item, AgentTurn) and item.status is SpeechStatus.SPEAKING for item in session.history.items)


async def barge_in(session: Session, user: Any, text: str, until: Until) -> None:
    """The user speaks over the agent, and their microphone stays open."""
    await session.feed(user.speech(text) + user.silence(320))
    await until(lambda: not is_speaking(session))
    await session.feed(user.silence(1_000))


# open_session


async def test_an_opened_session_has_a_handle_paths_and_its_settings(call: Call) -> None:
    opened = await call("open_session", language="de", turn={"silence_duration_ms": 300})
    assert opened.stream_path == f"/v1/sessions/{opened.session_id}/stream"
    assert opened.events_path == f"/v1/sessions/{opened.session_id}/events"
    assert (opened.settings.language, opened.settings.turn.silence_duration_ms) == ("de", 300)
    conversation = await call("get_conversation", session_id=opened.session_id)
    assert conversation.session.settings == opened.settings
    assert conversation.items == ()


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        (ErrorCode.UNKNOWN_VOICE, {"voice": "nobody"}),
        (ErrorCode.UNKNOWN_MODEL, {"asr_model": "nonesuch"}),
        (ErrorCode.UNSUPPORTED_LANGUAGE, {"language": "xx"}),
        (ErrorCode.INVALID_REQUEST, {"turn": {"vad_on": 0.2}}),
    ],
)
async def test_settings_that_cannot_be_met_are_refused(
    refused: Refused, code: ErrorCode, settings: dict[str, Any]
) -> None:
    await refused(code, "open_session", **settings)


async def test_there_is_a_limit_of_sessions(call: Call, refused: Refused) -> None:
    for _ in range(2):
        await call("open_session")
    assert (await refused(ErrorCode.TOO_MANY_SESSIONS, "open_session")).retry_after_s


# listen


async def test_listen_returns_what_the_user_says(start: Start, session: Session, user: Any) -> None:
    listening = start("listen", session_id=session.session_id)
    await session.feed(user.speech("What time is it?"))
    await session.feed(user.silence(1_000))
    with anyio.fail_after(20):
        while not listening.done:
            await wait_all_tasks_blocked()
    (result,) = listening.results
    assert (result.status, result.turn.text, result.turn.turn) == ("turn", "What time is it?", 1)


async def test_turns_wait_until_they_are_listened_to_and_come_once(
    call: Call, session: Session, user: Any, until: Until
) -> None:
    for text in ("First.", "Second."):
        await session.feed(user.speech(text) + user.silence(1_500))
    await until(lambda: len(session.history.items) == 2)
    heard = [await call("listen", session_id=session.session_id, timeout_s=0.01) for _ in range(3)]
    assert [result.status for result in heard] == ["turn", "turn", "timeout"]
    assert [result.turn.text for result in heard[:2]] == ["First.", "Second."]
    again = await call("listen", session_id=session.session_id, after_turn=0)
    assert again.turn.text == "First."


async def test_a_turn_that_is_probably_over_is_returned_early_and_again_when_it_is(
    call: Call, session: Session, user: Any
) -> None:
    await session.feed(user.speech("What time is it?") + user.silence(256))
    early = await call("listen", session_id=session.session_id, eager=True)
    await session.feed(user.silence(500))
    late = await call("listen", session_id=session.session_id, eager=True)
    assert (early.status, early.turn.confirmed) == ("eager", False)
    assert (late.status, late.turn.confirmed) == ("turn", True)
    assert early.turn.text == late.turn.text == "What time is it?"


async def test_a_silent_user_is_a_timeout_not_an_error(call: Call, session: Session) -> None:
    result = await call("listen", session_id=session.session_id, timeout_s=0.01)
    assert (result.status, result.turn) == ("timeout", None)


async def test_a_session_that_ends_while_one_listens_is_a_result(call: Call, start: Start, session: Session) -> None:
    listening = start("listen", session_id=session.session_id)
    await wait_all_tasks_blocked()
    await call("close_session", session_id=session.session_id)
    await wait_all_tasks_blocked()
    assert listening.results[0].status == "closed"


async def test_an_error_while_listening_is_not_taken_for_the_end(
    context: ToolContext, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise SpeechError(ErrorCode.OVERLOADED, "Not now.")

    monkeypatch.setattr(session, "listen", fail)
    with pytest.raises(SpeechError) as caught:
        await TOOLS.call("listen", {"session_id": session.session_id}, context)
    assert caught.value.code is ErrorCode.OVERLOADED


# say


async def test_say_returns_when_all_was_heard(start: Start, session: Session, until: Until) -> None:
    saying = start("say", session_id=session.session_id, text="It is ten.")
    await until(lambda: saying.done)
    (result,) = saying.results
    assert (result.status, result.heard_text, result.remaining_text) == (SpeechStatus.COMPLETED, "It is ten.", "")
    assert (result.user_turn, result.error) == (None, None)


async def test_say_returns_no_sooner_than_the_audio_is_long(
    start: Start, session: Session, until: Until, clock: FakeClock
) -> None:
    begun_us = clock.now_us()
    saying = start("say", session_id=session.session_id, text="It is ten.")
    await until(lambda: saying.done)
    item = session.history.agent_turn(saying.results[0].item_id)
    assert item is not None
    assert item.heard_source is HeardSource.ESTIMATED
    assert (clock.now_us() - begun_us) / 1_000 >= item.heard_ms


async def test_an_interrupted_say_tells_what_was_heard_and_what_the_user_said(
    start: Start, session: Session, user: Any, until: Until, call: Call, clock: FakeClock
) -> None:
    saying = start("say", session_id=session.session_id, text=LONG, user_timeout_s=300.0)
    await until(lambda: is_speaking(session))
    stop_us = clock.now_us() + 1_500_000
    await until(lambda: clock.now_us() >= stop_us)
    await barge_in(session, user, "Stop, please.", until)
    await until(lambda: saying.done)
    (result,) = saying.results
    assert result.status is SpeechStatus.INTERRUPTED
    assert result.heard_text
    assert result.remaining_text
    assert f"{result.heard_text} {result.remaining_text}" == LONG
    assert result.user_turn.text == "Stop, please."
    assert (await call("listen", session_id=session.session_id, timeout_s=0.01)).status == "timeout"


async def test_an_interrupted_say_tells_of_the_turn_that_interrupted_it_and_listen_of_the_one_before(
    start: Start, session: Session, user: Any, until: Until, call: Call
) -> None:
    before = user.speech("Before.") + user.silence(1_500)
    await session.feed(before)
    await until(lambda: session.info.received_ms > len(before) // 32 - 32)
    saying = start("say", session_id=session.session_id, text=LONG, user_timeout_s=300.0)
    await until(lambda: is_speaking(session))
    await barge_in(session, user, "Stop, please.", until)
    await until(lambda: saying.done)
    assert saying.results[0].user_turn.text == "Stop, please."
    assert (await call("listen", session_id=session.session_id)).turn.text == "Before."
    assert (await call("listen", session_id=session.session_id, timeout_s=0.01)).status == "timeout"


async def test_a_noise_over_the_agent_does_not_interrupt_it(
    start: Start, session: Session, user: Any, until: Until
) -> None:
    saying = start("say", session_id=session.session_id, text=LONG, user_timeout_s=300.0)
    await until(lambda: is_speaking(session))
    noise = bytes(b"\x00\x30\x00\xd0" * 8_000)
    await session.feed(noise + user.silence(1_000))
    await until(lambda: saying.done)
    assert saying.results[0].status is SpeechStatus.COMPLETED
    assert saying.results[0].user_turn is None


async def test_a_user_who_goes_on_talking_is_waited_for_no_longer_than_asked(
    start: Start, session: Session, user: Any, until: Until
) -> None:
    saying = start("say", session_id=session.session_id, text=LONG, user_timeout_s=0.0)
    await until(lambda: is_speaking(session))
    await session.feed(user.speech("Let me tell you"))
    await until(lambda: saying.done)
    assert saying.results[0].user_turn is None


async def test_say_without_waiting_returns_at_once(call: Call, session: Session) -> None:
    result = await call("say", session_id=session.session_id, text="First.", wait=False)
    assert (result.status, result.heard_text, result.remaining_text) == (SpeechStatus.QUEUED, "", "First.")
    second = await call("say", session_id=session.session_id, text="Second.", wait=False)
    assert second.status is SpeechStatus.QUEUED
    assert second.item_id != result.item_id


async def test_a_text_can_be_said_while_it_is_written(call: Call, start: Start, session: Session, until: Until) -> None:
    first = await call("say", session_id=session.session_id, text="It is ten. ", more=True)
    await until(lambda: is_speaking(session))
    second = await call("say", session_id=session.session_id, text="Or ", append_to=first.item_id, more=True)
    assert (second.item_id, second.status) == (first.item_id, SpeechStatus.SPEAKING)
    last = start("say", session_id=session.session_id, text="eleven.", append_to=first.item_id)
    await until(lambda: last.done)
    assert last.results[0].heard_text == "It is ten. Or eleven."


async def test_an_abandoned_say_stops_talking_and_the_next_one_is_said(
    start: Start, session: Session, until: Until
) -> None:
    abandoned = start("say", session_id=session.session_id, text=LONG)
    await until(lambda: is_speaking(session))
    after = start("say", session_id=session.session_id, text="Next.")
    await wait_all_tasks_blocked()
    abandoned.scope.cancel()
    await until(lambda: after.done)
    first, second = [item for item in session.history.items if isinstance(item, AgentTurn)]
    assert (first.status, second.status) == (SpeechStatus.INTERRUPTED, SpeechStatus.COMPLETED)
    assert not abandoned.done


async def test_an_abandoned_say_that_waits_is_never_said_and_the_current_one_goes_on(
    start: Start, session: Session, until: Until
) -> None:
    current = start("say", session_id=session.session_id, text="It is ten.")
    await until(lambda: is_speaking(session))
    waiting = start("say", session_id=session.session_id, text="Never mind.")
    await wait_all_tasks_blocked()
    waiting.scope.cancel()
    await until(lambda: current.done)
    assert current.results[0].status is SpeechStatus.COMPLETED
    dropped = session.history.items[-1]
    assert isinstance(dropped, AgentTurn)
    assert (dropped.status, dropped.heard_text) == (SpeechStatus.INTERRUPTED, "")


async def test_a_say_abandoned_as_its_session_ends_is_over(call: Call, start: Start, session: Session) -> None:
    saying = start("say", session_id=session.session_id, text=LONG)
    await wait_all_tasks_blocked()
    await call("close_session", session_id=session.session_id)
    session.stop_item("item_1")
    await wait_all_tasks_blocked()
    assert saying.results[0].status is SpeechStatus.INTERRUPTED


async def test_a_failed_synthesis_is_told_with_its_reason(
    start: Start, session: Session, until: Until, behaviour: FakeBehaviour
) -> None:
    behaviour.failure = RuntimeError("secret")
    saying = start("say", session_id=session.session_id, text="Hello.")
    await until(lambda: saying.done)
    (result,) = saying.results
    assert (result.status, result.heard_text) == (SpeechStatus.FAILED, "")
    assert result.error.code is ErrorCode.ENGINE_FAILED
    assert "secret" not in result.error.message


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (ErrorCode.EMPTY_TEXT, {"text": "  "}),
        (ErrorCode.EMPTY_TEXT, {"text": "…"}),
        (ErrorCode.TEXT_TOO_LONG, {"text": "a" * 5_001}),
        (ErrorCode.UNKNOWN_VOICE, {"text": "Hi.", "voice": "nobody"}),
        (ErrorCode.INVALID_REQUEST, {"text": "Hi.", "append_to": "item_9"}),
    ],
)
async def test_what_cannot_be_said_is_refused(
    refused: Refused, session: Session, code: ErrorCode, arguments: dict[str, Any]
) -> None:
    await refused(code, "say", session_id=session.session_id, **arguments)


async def test_an_item_can_begin_without_text(call: Call, start: Start, session: Session, until: Until) -> None:
    first = await call("say", session_id=session.session_id, text="", more=True)
    assert first.status in {SpeechStatus.QUEUED, SpeechStatus.SPEAKING}
    last = start("say", session_id=session.session_id, text="Here it is.", append_to=first.item_id)
    await until(lambda: last.done)
    assert last.results[0].heard_text == "Here it is."


# stop_speaking


async def test_stop_speaking_silences_the_agent_and_drops_what_waits(
    call: Call, start: Start, session: Session, until: Until
) -> None:
    saying = start("say", session_id=session.session_id, text=LONG)
    await until(lambda: is_speaking(session))
    await call("say", session_id=session.session_id, text="And more.", wait=False)
    stopping = start("stop_speaking", session_id=session.session_id)
    await until(lambda: stopping.done and saying.done)
    stopped = stopping.results[0].stopped
    assert [turn.text for turn in stopped] == [LONG, "And more."]
    assert {turn.status for turn in stopped} == {SpeechStatus.INTERRUPTED}
    assert saying.results[0].user_turn is None


async def test_stopping_an_agent_that_is_silent_stops_nothing(call: Call, session: Session) -> None:
    assert (await call("stop_speaking", session_id=session.session_id)).stopped == ()


# get_conversation, close_session


async def test_a_conversation_reads_back_in_the_order_it_was_held(
    call: Call, start: Start, session: Session, user: Any, until: Until
) -> None:
    session_id = session.session_id
    await session.feed(user.speech("Hello?") + user.silence(1_000))
    listening = start("listen", session_id=session_id)
    await until(lambda: listening.done)
    saying = start("say", session_id=session_id, text="Hello yourself.")
    await until(lambda: saying.done)
    await call("close_session", session_id=session_id)
    conversation = await call("get_conversation", session_id=session_id)
    assert conversation.session.state is SessionState.CLOSED
    question, answer = conversation.items
    assert isinstance(question, UserTurn)
    assert isinstance(answer, AgentTurn)
    assert (question.text, answer.heard_text) == ("Hello?", "Hello yourself.")


async def test_closing_gives_the_number_of_the_last_event(call: Call, session: Session) -> None:
    closed = await call("close_session", session_id=session.session_id)
    conversation = await call("get_conversation", session_id=session.session_id)
    assert closed.last_seq == conversation.session.last_seq == 2


SESSION_TOOLS: dict[str, dict[str, Any]] = {
    "listen": {},
    "say": {"text": "Hi."},
    "stop_speaking": {},
    "get_conversation": {},
    "close_session": {},
}


@pytest.mark.parametrize("name", SESSION_TOOLS)
async def test_an_unknown_session_is_an_error_of_every_session_tool(refused: Refused, name: str) -> None:
    error = await refused(ErrorCode.UNKNOWN_SESSION, name, session_id="ses_none", **SESSION_TOOLS[name])
    assert "open_session" in error.message


@pytest.mark.parametrize("name", [name for name in SESSION_TOOLS if name not in {"get_conversation", "close_session"}])
async def test_a_closed_session_takes_no_more_calls(call: Call, refused: Refused, session: Session, name: str) -> None:
    await call("close_session", session_id=session.session_id)
    await refused(ErrorCode.SESSION_CLOSED, name, session_id=session.session_id, **SESSION_TOOLS[name])
