"""What callers of listen and say are told meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from schemas.errors import ErrorCode, SpeechError
from schemas.tools import ToolEvent, ToolProgress
from session.manager import SessionManager
from session.runner import Session
from tools import progress
from tools.progress import told_meanwhile
from tools.tool import ToolContext, ignore_event

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[Any]]
Until = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture
async def session(call: Call, sessions: SessionManager) -> Session:
    opened = await call("open_session")
    return await sessions.find(opened.session_id)


def messages(events: list[ToolEvent]) -> list[str | None]:
    return [event.message for event in events if isinstance(event, ToolProgress)]


async def test_listen_tells_that_the_user_speaks_and_what(
    call: Call, session: Session, events: list[ToolEvent], user: Any
) -> None:
    result: Any = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session.feed, user.speech("What time is it?") + user.silence(1_000))
        result = await call("listen", session_id=session.session_id, timeout_s=60)
    assert result.turn.text == "What time is it?"
    told = [event for event in events if isinstance(event, ToolProgress)]
    assert told[0].message == "The user is speaking."
    assert all(event.total_s == 60 for event in told)
    assert all(earlier.done_s < later.done_s for earlier, later in itertools.pairwise(told))


async def test_say_tells_that_the_agent_speaks(
    call: Call, session: Session, events: list[ToolEvent], until: Until
) -> None:
    results: list[Any] = []

    async def say() -> None:
        results.append(await call("say", session_id=session.session_id, text="It is ten."))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(say)
        await until(lambda: bool(results))
    assert results[0].status == "completed"
    assert messages(events) == ["The agent is speaking."]


async def test_time_that_passes_is_told_too(
    context: ToolContext, session: Session, events: list[ToolEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "HEARTBEAT_S", 0.001)
    twice = anyio.Event()

    async def emit(event: ToolEvent) -> None:
        events.append(event)
        if len(events) == 2:
            twice.set()

    told = ToolContext(
        host=context.host, decoder=context.decoder, sessions=context.sessions, shelf=context.shelf, emit=emit
    )
    with anyio.fail_after(20):
        async with told_meanwhile(told, session, 30.0):
            await twice.wait()
    assert messages(events[:2]) == [None, None]


async def test_a_failure_comes_out_as_itself(context: ToolContext, session: Session) -> None:
    with pytest.raises(SpeechError):
        async with told_meanwhile(context, session):
            raise SpeechError(ErrorCode.SESSION_CLOSED, "Over.")


async def test_nothing_is_followed_for_who_does_not_want_to_know(context: ToolContext, session: Session) -> None:
    deaf = ToolContext(
        host=context.host, decoder=context.decoder, sessions=context.sessions, shelf=context.shelf, emit=ignore_event
    )
    async with told_meanwhile(deaf, session):
        pass
