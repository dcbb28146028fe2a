"""The tool ``close_session``: a conversation ends."""

from __future__ import annotations

from typing import Final

from schemas import examples
from schemas.principal import Scope
from schemas.tools import CloseSessionInput, CloseSessionOutput, ToolAnnotations
from tools.tool import Tool, ToolContext


async def _close_session(context: ToolContext, arguments: CloseSessionInput) -> CloseSessionOutput:
    info = await context.sessions.close(arguments.session_id)
    return CloseSessionOutput(session_id=info.session_id, last_seq=info.last_seq)


TOOL: Final = Tool(
    name="close_session",
    title="Close a session",
    description=(
        "Ends a conversation: stops the agent, disconnects the client and frees the session. Its history can still "
        "be read with get_conversation. Say goodbye first, and wait for it."
    ),
    scope=Scope.SESSIONS,
    input=CloseSessionInput,
    output=CloseSessionOutput,
    handler=_close_session,
    example=(
        CloseSessionInput(session_id=examples.SESSION_ID),
        CloseSessionOutput(session_id=examples.SESSION_ID, last_seq=11),
    ),
    annotations=ToolAnnotations(read_only=False, idempotent=True, destructive=True, open_world=True),
)
