"""The tool ``listen``: what the user says."""

from __future__ import annotations

from typing import Final

from schemas import examples
from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Scope
from schemas.tools import ListenInput, ListenOutput, ToolAnnotations
from tools.progress import told_meanwhile
from tools.tool import Tool, ToolContext


async def _listen(context: ToolContext, arguments: ListenInput) -> ListenOutput:
    session = await context.sessions.find(arguments.session_id)
    try:
        async with told_meanwhile(context, session, arguments.timeout_s):
            turn = await session.listen(arguments.timeout_s, arguments.after_turn, eager=arguments.eager)
    except SpeechError as error:
        if error.code is not ErrorCode.SESSION_CLOSED:
            raise
        return ListenOutput(status="closed")
    if turn is None:
        return ListenOutput(status="timeout")
    return ListenOutput(status="turn" if turn.confirmed else "eager", turn=turn)


TOOL: Final = Tool(
    name="listen",
    title="Listen to the user",
    description=(
        "Waits until the user of a session has finished speaking, and returns what they said. Each turn is returned "
        "once, in order, so none is lost while you think. Status timeout means that the user said nothing: listen "
        "again, or say something. Status closed means that the session ended while you waited. With eager=true you "
        "also get status eager, some hundred milliseconds earlier: the user has probably finished. Think of an answer, "
        "and say it if you like: it is dropped if they go on. Do nothing with effects elsewhere, like a booking or a "
        "message, until the next listen has returned the same turn with status turn. A turn may come again with a "
        "greater revision: the user went on before they heard an answer; answer that instead."
    ),
    scope=Scope.SESSIONS,
    input=ListenInput,
    output=ListenOutput,
    handler=_listen,
    example=(
        ListenInput(session_id=examples.SESSION_ID, timeout_s=10.0),
        ListenOutput(status="turn", turn=examples.USER_TURN),
    ),
    # Without after_turn it moves on from turn to turn.
    annotations=ToolAnnotations(read_only=True, idempotent=False, open_world=True),
)
