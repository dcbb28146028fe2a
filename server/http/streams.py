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
from litestar import Litestar, Response
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError

from schemas.errors import ErrorCode, SpeechError
from server.errors import HttpRequest, error_body

_log = structlog.stdlib.get_logger("antiphon.server")

T = TypeVar("T")

SEND_TIMEOUT_S: Final = 30.0
"""A client that takes no data for this long is cut off."""
EVENTS_AHEAD: Final = 4
"""Events that may wait for a slow client before whoever makes them waits too."""
_SEQ_DIGITS_MAX: Final = 18
"""Within 64 bits. Python refuses to read thousands."""

SendEvent = Callable[[ServerSentEvent], Awaitable[None]]
_SEPARATOR: Final = "\n"
"""Of lines. The library's default, CR LF, is as valid, and clients that split at LF alone trip over it."""


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
    *,
    send_timeout_s: float = SEND_TIMEOUT_S,
) -> ASGIApp:
    """A response that begins once the first piece is there.

    Args:
        start: Opens the source; it is closed when the response is complete or the client has gone.
        respond: Makes the response of all pieces.
        send_timeout_s: How long a client may take no data. It would hold an engine for as long.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with start() as source:
            first = await until_disconnected(receive, lambda: _first(source))
            async with aclosing(_joined(first, source)) as pieces:
                try:
                    await respond(pieces)(scope, receive, _in_time(send, send_timeout_s))
                except* _SlowClientError:
                    _log.info("slow_client_cut_off")

    return app


class _SlowClientError(Exception):
    """The client takes no data."""


def _in_time(send: Send, timeout_s: float) -> Send:
    async def send_in_time(message: Message) -> None:
        with anyio.move_on_after(timeout_s):
            await send(message)
            return
        raise _SlowClientError

    return send_in_time


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

    Args:
        events: What to send.
        drain_s: How long the stream may go on once the server is stopping.
    """

    async def produce(send_event: SendEvent) -> None:
        async for event in events:
            await send_event(encoded_event(event))

    return produced_events(produce, drain_s=drain_s)


def produced_events(produce: Callable[[SendEvent], Awaitable[None]], *, drain_s: float) -> ASGIApp:
    """A response of server-sent events that a task of its own sends, with pings.

    The task is cancelled when the client has gone, and ``drain_s`` after the server began to stop; then the response
    ends as it should. A failure becomes an ``error`` event.

    Args:
        produce: Sends events, which waits while the client is slow, and returns at the end.
        drain_s: How long the task may go on once the server is stopping.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        outgoing, incoming = anyio.create_memory_object_stream[ServerSentEvent](EVENTS_AHEAD)
        producing = anyio.CancelScope()
        stopping: anyio.Event = Litestar.from_scope(scope).state.stopping

        async def run() -> None:
            async with outgoing:
                with producing:
                    try:
                        await produce(outgoing.send)
                    except Exception as error:  # noqa: BLE001  the boundary: the status is sent, an event is left
                        await outgoing.send(failure_event(error))

        async def stop() -> None:
            await stopping.wait()
            await anyio.sleep(drain_s)
            producing.cancel()

        async with outgoing, incoming, anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            tasks.start_soon(stop)
            response = EventSourceResponse(incoming, send_timeout=SEND_TIMEOUT_S, sep=_SEPARATOR)
            try:
                # Starlette types a scope as a mapping, Litestar as one of its own.
                await cast("ASGIApp", response)(scope, receive, send)
            except SendTimeoutError:
                _log.info("slow_client_cut_off")
            tasks.cancel_scope.cancel()

    return app


def failure_event(error: Exception) -> ServerSentEvent:
    """The ``error`` event of a failure, in the shape of an error response."""
    if not isinstance(error, SpeechError):
        _log.error("stream_failed", exc_info=error)
        error = SpeechError(ErrorCode.INTERNAL, "Something failed inside the server.")
    return encoded_event(error_body(error), name="error")


def is_seq(text: str) -> bool:
    """Whether a text can be the number of an event: digits, and not too many of them."""
    return text.isascii() and text.isdigit() and len(text) <= _SEQ_DIGITS_MAX


def encoded_event(data: msgspec.Struct, *, name: str | None = None, seq: int | None = None) -> ServerSentEvent:
    """A server-sent event with JSON in it.

    Args:
        data: What it says.
        name: The event's type, for ``EventSource.addEventListener``.
        seq: Its number, for ``Last-Event-ID``.
    """
    return ServerSentEvent(
        data=msgspec.json.encode(data).decode(),
        event=name,
        id=None if seq is None else str(seq),
        sep=_SEPARATOR,
    )
