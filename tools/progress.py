"""What a caller is told while a tool waits for people: that they speak, what they have said, that time passes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Final

import anyio

from schemas.events import SayEnded, SayStarted, ServerEvent, SpeechResumed, SpeechStarted, TranscriptPartial
from schemas.sessions import SpeechStatus
from schemas.tools import ToolProgress
from session.runner import Session
from tools.tool import ToolContext, ignore_event

HEARTBEAT_S: Final = 5.0
"""Clients give up on a call of which they hear nothing for a minute, or half of one."""


@asynccontextmanager
async def told_meanwhile(context: ToolContext, session: Session, total_s: float | None = None) -> AsyncGenerator[None]:
    """Tells the caller, until the block ends, what happens in the session.

    Args:
        context: Of the call.
        session: What is waited for.
        total_s: How long it can last at most, if that is known.
    """
    if context.emit is ignore_event:
        yield
        return
    started_s = anyio.current_time()
    after_seq = session.log.last_seq
    message: str | None = None
    failure: Exception | None = None

    async def tell() -> None:
        await context.emit(ToolProgress(done_s=anyio.current_time() - started_s, total_s=total_s, message=message))

    async def follow() -> None:
        nonlocal message
        async with aclosing(session.log.follow(after_seq)) as published:
            async for each in published:
                if (text := _told(each.event)) is not None:
                    message = text
                    await tell()

    async def beat() -> None:
        while True:
            await anyio.sleep(HEARTBEAT_S)
            await tell()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        tasks.start_soon(beat)
        try:
            yield
        except Exception as error:  # noqa: BLE001  raised below, outside the group, which would wrap it in another
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _told(event: ServerEvent) -> str | None:
    match event:
        case SpeechStarted() | SpeechResumed():
            return "The user is speaking."
        case TranscriptPartial(text=text):
            return f"The user is speaking: {text}"
        case SayStarted():
            return "The agent is speaking."
        case SayEnded(status=SpeechStatus.INTERRUPTED):
            return "The user interrupted the agent."
        case _:
            return None
