"""The tool ``stop_speaking``: the agent falls silent."""

from __future__ import annotations

from typing import Final

from schemas import examples
from schemas.principal import Scope
from schemas.tools import StopSpeakingInput, StopSpeakingOutput, ToolAnnotations
from tools.tool import Tool, ToolContext


async def _stop_speaking(context: ToolContext, arguments: StopSpeakingInput) -> StopSpeakingOutput:
    session = await context.sessions.find(arguments.session_id)
    return StopSpeakingOutput(stopped=await session.stop_speaking())


TOOL: Final = Tool(
    name="stop_speaking",
    title="Stop speaking",
    description=(
        "Silences the agent in a session at once and drops what it had still to say. Returns what was heard of each "
        "text. The user's own interruptions stop the agent without this."
    ),
    scope=Scope.SESSIONS,
    input=StopSpeakingInput,
    output=StopSpeakingOutput,
    handler=_stop_speaking,
    example=(
        StopSpeakingInput(session_id=examples.SESSION_ID),
        StopSpeakingOutput(stopped=(examples.AGENT_TURN,)),
    ),
    annotations=ToolAnnotations(read_only=False, idempotent=True, open_world=True),
)
