"""The tool ``get_conversation``: what was said and heard."""

from __future__ import annotations

from typing import Final

from schemas import examples
from schemas.principal import Scope
from schemas.sessions import Conversation
from schemas.tools import GetConversationInput, ToolAnnotations
from tools.tool import Tool, ToolContext


async def _get_conversation(context: ToolContext, arguments: GetConversationInput) -> Conversation:
    return await context.sessions.conversation(arguments.session_id)


TOOL: Final = Tool(
    name="get_conversation",
    title="Get the conversation",
    description=(
        "Returns the history of a session, open or over: each turn of the user, and of the agent what was said and "
        "what was heard."
    ),
    scope=Scope.SESSIONS,
    input=GetConversationInput,
    output=Conversation,
    handler=_get_conversation,
    example=(GetConversationInput(session_id=examples.SESSION_ID), examples.CONVERSATION),
    annotations=ToolAnnotations(read_only=True, idempotent=True, open_world=False),
)
