"""``GET /v1/sessions/{id}/events``: what happens in a session, as server-sent events that can be resumed."""

from __future__ import annotations

import base64
from contextlib import AsyncExitStack
from typing import Annotated, Final, Literal

import msgspec
from litestar import MediaType, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct
from sse_starlette import ServerSentEvent

from schemas.errors import ErrorCode, ErrorDetail, SpeechError
from schemas.events import SayAudio, ServerEvent
from schemas.principal import Scope as AccessScope
from schemas.sessions import Conversation, SessionState
from server.errors import HttpRequest, error_body, error_headers, error_responses, request_id_of
from server.http.gate import needs
from server.http.streams import SendEvent, as_asgi, encoded_event, is_seq, produced_events
from session.log import Published
from session.manager import CLOSE_GRACE_S
from session.own_sessions import OwnSessions

AudioMode = Literal["base64", "none"]


class ExpiredBody(Struct, frozen=True):
    """The answer to who wants events that are no longer kept: all one needs to go on."""

    error: ErrorDetail
    snapshot: Conversation
    """The conversation by now. Subscribe to what comes after its ``session.last_seq``."""


@get(
    "/v1/sessions/{session_id:str}/events",
    operation_id="streamEvents",
    opt=needs(AccessScope.SESSIONS),
    summary="Follow a session",
    description=(
        "Server-sent events: `id` is the event's number, `event` its type, `data` the event as JSON. The stream begins "
        "with the first event, or after the one named by Last-Event-ID (or `after`), and ends with session.closed. "
        "204 means that nothing more will come."
    ),
    tags=["sessions"],
    responses={
        **error_responses(400, 403, 404),
        200: ResponseSpec(str, media_type="text/event-stream", generate_examples=False),
        204: ResponseSpec(None, description="The session is over, and this was its last event"),
        410: ResponseSpec(ExpiredBody, description="Codes: events_expired", generate_examples=False),
    },
)
async def stream_events(
    request: HttpRequest,
    session_id: FromPath[str],
    sessions: NamedDependency[OwnSessions],
    after: Annotated[int, QueryParameter(ge=0, description="Number of the last event already seen.")] = 0,
    audio: Annotated[AudioMode, QueryParameter(description="Whether say.audio carries the audio.")] = "base64",
    last_event_id: Annotated[
        str | None, HeaderParameter(name="Last-Event-ID", description="As after; sent by browsers when they reconnect.")
    ] = None,
) -> ASGIApp:
    """Subscribe to a session's events."""
    # A browser that reconnects repeats the URL, so the header is the newer of the two.
    after_seq = after if last_event_id is None else _seq(last_event_id)
    info = await sessions.info(session_id)
    if info.state is not SessionState.OPEN and after_seq == info.last_seq:
        # Any other answer would have EventSource ask again, for ever.
        return as_asgi(Response(None, status_code=204), request)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as stack:
            try:
                events = await stack.enter_async_context(sessions.subscribe(session_id, after_seq))
            except SpeechError as error:
                if error.code is not ErrorCode.EVENTS_EXPIRED:
                    raise
                response = _expired(request, error, await sessions.conversation(session_id))
                await as_asgi(response, request)(scope, receive, send)
                return

            async def produce(send_event: SendEvent) -> None:
                async for published in events:
                    await send_event(_encoded(published, audio))

            # The stream can be taken up again from the number of its last event, so there is nothing to drain but that
            # the session is closed.
            await produced_events(produce, drain_s=CLOSE_GRACE_S)(scope, receive, send)

    return app


def _seq(last_event_id: str) -> int:
    if not is_seq(last_event_id):
        raise SpeechError(
            ErrorCode.INVALID_REQUEST,
            "Last-Event-ID must be the number of an event, as in its id field.",
            param="Last-Event-ID",
        )
    return int(last_event_id)


def _expired(request: HttpRequest, error: SpeechError, snapshot: Conversation) -> Response[ExpiredBody]:
    detail = error_body(error, request_id_of(request.scope)).error
    return Response(
        ExpiredBody(detail, snapshot),
        status_code=error.http_status,
        headers=error_headers(error),
        media_type=MediaType.JSON,
    )


def _encoded(published: Published, audio: AudioMode) -> ServerSentEvent:
    event: ServerEvent = published.event
    if audio == "base64" and isinstance(event, SayAudio) and published.pcm is not None:
        event = msgspec.structs.replace(event, audio=base64.b64encode(published.pcm).decode())
    return encoded_event(event, name=str(event.__struct_config__.tag), seq=event.seq)


ROUTES: Final = (stream_events,)
