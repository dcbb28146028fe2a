"""What every request passes before it is routed: its id, the host check, the body's deadline, its log line.

Litestar runs its middleware after routing, so that a request without a route, or one with a foreign ``Host``, would
be neither counted nor logged by one. This is plain ASGI around all of it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any, Final, cast

import anyio
import structlog
from litestar import Request
from litestar.datastructures import Headers
from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send, WebSocketReceiveMessage

from schemas.errors import ERRORS, ErrorCode, SpeechError
from server.errors import HttpRequest, handle_error
from server.http.hosts import HostPolicy
from server.http.streams import as_asgi
from server.metrics import HttpMetrics

_log = structlog.stdlib.get_logger("antiphon.server")

UNROUTED: Final = "(unrouted)"
_QUIET_ROUTES: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_POLICY_VIOLATION: Final = 1008
"""WebSocket close code, RFC 6455 section 7.4.1. Before the handshake is accepted it becomes an HTTP 403."""
_CLIENT_GONE_STATUS: Final = ERRORS[ErrorCode.CANCELLED].http_status


class FrontDoor:
    """ASGI application around another.

    Args:
        app: The application inside.
        hosts: Who may come in.
        metrics: Counts requests.
        body_timeout_s: Seconds in which a request's body must have arrived.
    """

    def __init__(self, app: ASGIApp, *, hosts: HostPolicy, metrics: HttpMetrics, body_timeout_s: float) -> None:
        self._app = app
        self._hosts = hosts
        self._metrics = metrics
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP request or WebSocket."""
        request_id = uuid.uuid4().hex
        # Litestar's scopes are typed dicts whose unions strict typing cannot see through; a scope is a mapping.
        fields = cast("dict[str, Any]", scope)
        fields.setdefault("state", {})["request_id"] = request_id
        exchange = _Exchange(fields, send)
        started_s = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id), self._metrics.in_progress():
            try:
                await self._admit(scope, receive, exchange.send)
            finally:
                duration_s = time.perf_counter() - started_s
                self._record(fields, exchange.status, duration_s)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers.from_scope(scope)
        try:
            self._hosts.check(headers.get("host", ""), headers.get("origin"))
        except SpeechError as error:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.message})
                return
            request: HttpRequest = Request(scope, receive, send)
            await as_asgi(handle_error(request, error), request)(scope, receive, send)
            return
        if scope["type"] == "http":
            deadline = BodyDeadline(receive, self._body_timeout_s)
            scope["state"]["body_deadline"] = deadline
            receive = deadline.receive
        await self._app(scope, receive, send)

    def _record(self, scope: Mapping[str, Any], status: int | None, duration_s: float) -> None:
        route = str(scope.get("path_template") or UNROUTED)
        if scope["type"] == "websocket":
            method, status = "WEBSOCKET", status or 101
        else:
            method, status = scope["method"], status or _CLIENT_GONE_STATUS
        self._metrics.observe(method=method, route=route, status=status, duration_s=duration_s)
        fields: dict[str, object] = {
            "method": method,
            "route": route,
            "status": int(status),
            "duration_ms": round(duration_s * 1_000, 1),
        }
        if session_id := scope.get("path_params", {}).get("session_id"):
            fields["session_id"] = session_id
        log = _log.debug if route in _QUIET_ROUTES else _log.info
        log("request", **fields)


class _Exchange:
    """Adds the request id to the response and remembers its status."""

    def __init__(self, scope: Mapping[str, Any], send: Send) -> None:
        self._state = scope["state"]
        self._send = send
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message["headers"], (b"x-request-id", self._state["request_id"].encode())]
            deadline = self._state.get("body_deadline")
            if deadline is not None and deadline.passed:
                # What still trickles in would hold the connection for as long as it likes.
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        elif message["type"] == "websocket.close" and self.status is None:
            self.status = message["code"]
        await self._send(message)


class BodyDeadline:
    """Ends requests whose body does not arrive: uvicorn would let one byte a second hold a connection for ever.

    Args:
        receive: ASGI's.
        timeout_s: From now until the end of the body.
    """

    def __init__(self, receive: Receive, timeout_s: float) -> None:
        self._receive = receive
        self._timeout_s = timeout_s
        self._deadline_s = anyio.current_time() + timeout_s
        self._of_pieces = False
        self._complete = False
        self.passed = False
        """Whether the body did not arrive in time."""

    @classmethod
    def of(cls, scope: Scope) -> BodyDeadline:
        """The deadline that the front door gave to this request."""
        deadline = scope["state"]["body_deadline"]
        assert isinstance(deadline, BodyDeadline)
        return deadline

    def restart_with_each_piece(self) -> None:
        """For bodies that last as long as somebody speaks: the time is that from one piece to the next."""
        self._of_pieces = True

    async def receive(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        """The next message.

        Raises:
            SpeechError: ``deadline_exceeded``.
        """
        if self._complete:
            return await self._receive()
        if self._of_pieces:
            self._deadline_s = anyio.current_time() + self._timeout_s
        with anyio.move_on_at(self._deadline_s):
            message = await self._receive()
            self._complete = not message.get("more_body", False)
            return message
        self.passed = True
        raise SpeechError(
            ErrorCode.DEADLINE_EXCEEDED, f"The body of the request did not arrive within {self._timeout_s:g} s."
        )
