"""Work for a client that may go away, and streams whose first piece decides the status.

A response's status cannot be changed once it has begun. So a stream is started, its first piece awaited, and only
then the response: what fails before the first piece is a proper error response.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Final, TypeVar, cast

import anyio
import msgspec
import structlog
from litestar import Response
from litestar.types import ASGIApp, Receive, Scope, Send
from sse_starlette import EventSourceResponse, ServerSentEvent

from schemas.errors import ErrorCode, SpeechError
from server.errors import HttpRequest, error_body

_log = structlog.stdlib.get_logger("antiphon.server")

T = TypeVar("T")

SEND_TIMEOUT_S: Final = 30.0
"""A client that takes no data for this long is cut off."""


async def until_disconnected(receive: Receive, work: Callable[[], Awaitable[T]]) -> T:
    """The result of ``work``, which is cancelled as soon as the client has gone. The body must have been read.

    Raises:
        SpeechError: ``cancelled`` if the client went away; else whatever ``work`` raises.
    """
    result: list[T] = []
    failure: Exception | None = None

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        try:
            result.append(await work())
        except Exception as error:  # noqa: BLE001  raised below, outside the group, which would wrap it in another
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if not result:
        raise SpeechError(ErrorCode.CANCELLED, "The client went away.")
    return result[0]


def streamed(
    start: Callable[[], AbstractAsyncContextManager[AsyncIterator[T]]],
    respond: Callable[[AsyncGenerator[T]], ASGIApp],
) -> ASGIApp:
    """A response that begins once the first piece is there.

    Args:
        start: Opens the source; it is closed when the response is complete or the client has gone.
        respond: Makes the response of all pieces.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with start() as source:
            first = await until_disconnected(receive, lambda: _first(source))
            async with aclosing(_joined(first, source)) as pieces:
                await respond(pieces)(scope, receive, send)

    return app


def as_asgi(response: Response[Any], request: HttpRequest) -> ASGIApp:
    """A Litestar response, from a handler that returns ASGI applications."""
    return response.to_asgi_response(  # pyright: ignore[reportUnknownMemberType]  # Litestar leaves Request's types open
        app=None, request=request
    )


async def _first(source: AsyncIterator[T]) -> list[T]:
    async for piece in source:
        return [piece]
    return []


async def _joined(first: list[T], rest: AsyncIterator[T]) -> AsyncGenerator[T]:
    for piece in first:
        yield piece
    async for piece in rest:
        yield piece


def event_stream(events: AsyncIterator[msgspec.Struct], *, drain_s: float) -> ASGIApp:
    """Server-sent events, each a tagged Struct as ``data``, the tag in its ``type`` field.

    A failure on the way becomes an ``error`` event in the shape of an error response, and the end.

    Args:
        events: What to send.
        drain_s: How long the stream may go on once the server is stopping.
    """

    async def encoded() -> AsyncGenerator[ServerSentEvent]:
        try:
            async for event in events:
                yield ServerSentEvent(data=msgspec.json.encode(event).decode())
        except SpeechError as error:
            yield _error_event(error)
        except Exception:  # noqa: BLE001  the boundary: the status is sent, an event is all that is left to say it
            _log.exception("stream_failed")
            yield _error_event(SpeechError(ErrorCode.INTERNAL, "Something failed inside the server."))

    response = EventSourceResponse(encoded(), send_timeout=SEND_TIMEOUT_S, shutdown_grace_period=drain_s, sep="\n")
    return cast("ASGIApp", response)  # Starlette types a scope as a mapping, Litestar as one of its own


def _error_event(error: SpeechError) -> ServerSentEvent:
    return ServerSentEvent(event="error", data=msgspec.json.encode(error_body(error)).decode())
