"""The tool ``say``: the agent speaks, and learns what was heard."""

from __future__ import annotations

from typing import Final

import anyio

from schemas import examples
from schemas.errors import SpeechError
from schemas.principal import Scope
from schemas.sessions import SpeechStatus, UserTurn
from schemas.tools import SayInput, SayOutput, ToolAnnotations
from session.runner import Session
from tools.progress import told_meanwhile
from tools.tool import Tool, ToolContext


async def _say(context: ToolContext, arguments: SayInput) -> SayOutput:
    session = await context.sessions.find(arguments.session_id)
    async with told_meanwhile(context, session):
        item_id = await session.say(
            arguments.text,
            voice=arguments.voice,
            append_to=arguments.append_to,
            more=arguments.more,
            interruption=arguments.interruption,
            options=arguments.speech_options,
        )
        if arguments.more or not arguments.wait:
            return _unfinished(session, item_id)
        try:
            turn = await session.wait_spoken(item_id)
        except anyio.get_cancelled_exc_class():
            # Whoever wanted this said is gone, and would not know what the user hears from here on.
            session.stop_item(item_id)
            raise
        is_interrupted = turn.status is SpeechStatus.INTERRUPTED
        user_turn = await _interruption(session, item_id, arguments.user_timeout_s) if is_interrupted else None
    return SayOutput(
        item_id=item_id,
        status=turn.status,
        heard_text=turn.heard_text,
        remaining_text=turn.remaining_text,
        user_turn=user_turn,
        error=turn.error,
    )


async def _interruption(session: Session, item_id: str, timeout_s: float) -> UserTurn | None:
    try:
        return await session.listen(timeout_s, session.history.turns_before(item_id), while_speaking=True)
    except SpeechError:  # the session has ended, and what was heard of the item still is to be told
        return None


def _unfinished(session: Session, item_id: str) -> SayOutput:
    turn = session.history.agent_turn(item_id)
    assert turn is not None  # since the session has it
    return SayOutput(item_id=item_id, status=turn.status, heard_text="", remaining_text=turn.text)


TOOL: Final = Tool(
    name="say",
    title="Say something",
    description=(
        "Speaks a text to the user of a session, as soon as neither of you is speaking, and waits until it was "
        "heard or the user interrupted. Put heard_text, not your text, into the conversation history: after an "
        "interruption the user knows nothing of remaining_text. user_turn then holds what they said. "
        "To speak while you still write, send the first sentence with more=true and the others with append_to. "
        "If the call is cancelled while it waits, the speech stops; use wait=false if your calls must be short."
    ),
    scope=Scope.SESSIONS,
    input=SayInput,
    output=SayOutput,
    handler=_say,
    example=(
        SayInput(session_id=examples.SESSION_ID, text=examples.AGENT_TURN.text),
        SayOutput(
            item_id=examples.AGENT_TURN.item_id,
            status=examples.AGENT_TURN.status,
            heard_text=examples.AGENT_TURN.heard_text,
            remaining_text=examples.AGENT_TURN.remaining_text,
            user_turn=examples.USER_TURN_AFTER,
        ),
    ),
    annotations=ToolAnnotations(read_only=False, idempotent=False, open_world=True),
)
