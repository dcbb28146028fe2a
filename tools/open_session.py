"""The tool ``open_session``: a conversation begins."""

from __future__ import annotations

from typing import Final

import msgspec

from schemas import examples
from schemas.principal import Scope
from schemas.sessions import SessionSettings
from schemas.tools import OpenSessionInput, OpenSessionOutput, ToolAnnotations
from tools.tool import Tool, ToolContext


async def _open_session(context: ToolContext, arguments: OpenSessionInput) -> OpenSessionOutput:
    settings = msgspec.convert(arguments, SessionSettings, from_attributes=True)
    session = await context.sessions.open(settings)
    path = f"/v1/sessions/{session.session_id}"
    return OpenSessionOutput(
        session_id=session.session_id, settings=settings, stream_path=f"{path}/stream", events_path=f"{path}/events"
    )


TOOL: Final = Tool(
    name="open_session",
    title="Open a session",
    description=(
        "Opens a spoken conversation with one user and returns its session_id. A client with microphone and "
        "loudspeaker connects to stream_path; then call listen to hear the user and say to speak, in turns. "
        "Close it with close_session; a session nobody uses is closed after a while."
    ),
    scope=Scope.SESSIONS,
    input=OpenSessionInput,
    output=OpenSessionOutput,
    handler=_open_session,
    example=(
        OpenSessionInput(language="en"),
        OpenSessionOutput(
            session_id=examples.SESSION_ID,
            settings=SessionSettings(language="en"),
            stream_path=f"/v1/sessions/{examples.SESSION_ID}/stream",
            events_path=f"/v1/sessions/{examples.SESSION_ID}/events",
        ),
    ),
    annotations=ToolAnnotations(read_only=False, idempotent=False, open_world=True),
)
