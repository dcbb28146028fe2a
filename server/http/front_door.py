"""What every request passes before it is routed: its id, the host check, the body's deadline, its log line.

Litestar runs its middleware after routing, so that a request without a route, or one with a foreign ``Host``, would
be neither counted nor logged by one. This is plain ASGI around all of it.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final, cast

import structlog
from litestar import Request
from litestar.datastructures import Headers
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from schemas.errors import ERRORS, ErrorCode, SpeechError
from server.errors import HttpRequest, handle_error
from server.http.hosts import HostPolicy
from server.http.intake import BodyMemory, Intake
from server.http.streams import as_asgi
from server.metrics import HttpMetrics

_log = structlog.stdlib.get_logger("antiphon.server")

UNROUTED: Final = "(unrouted)"
_SESSION_ID: Final = re.compile(r"ses_[A-Za-z0-9_-]{22}")
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
        bodies: Memory for the bodies of all requests.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: HostPolicy, metrics: HttpMetrics, body_timeout_s: float, bodies: BodyMemory
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._metrics = metrics
        self._body_timeout_s = body_timeout_s
        self._bodies = bodies

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
                if scope["type"] == "http":
                    with closing(Intake(scope, receive, self._body_timeout_s, self._bodies)) as intake:
                        fields["state"]["intake"] = intake
                        await self._admit(scope, intake.receive, exchange.send)
                else:
                    await self._admit(scope, receive, exchange.send)
            finally:
                duration_s = time.perf_counter() - started_s
                self._record(fields, exchange.status, duration_s)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(Headers.from_scope(scope))
        except SpeechError as error:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.message})
                return
            request: HttpRequest = Request(scope, receive, send)
            await as_asgi(handle_error(request, error), request)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, headers: Headers) -> None:
        if "content-length" in headers and "transfer-encoding" in headers:
            raise SpeechError(
                ErrorCode.INVALID_REQUEST, "A request has a Content-Length or a Transfer-Encoding, not both."
            )
        for origin in headers.getall("origin", [None]):
            self._hosts.check(headers.get("host", ""), origin)

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
        session_id = scope.get("path_params", {}).get("session_id", "")
        if _SESSION_ID.fullmatch(session_id):  # anything else is the client's text
            fields["session_id"] = session_id
        if principal := scope.get("user"):
            fields["subject"] = principal.subject
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
            intake = self._state.get("intake")
            if intake is not None and (intake.passed or intake.is_ambiguous):
                # What still trickles in would hold the connection for as long as it likes; and what follows a body of
                # two lengths may be the next request to us, and a part of this one to a proxy (RFC 9112, section 6.1).
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        elif message["type"] == "websocket.close" and self.status is None:
            self.status = message["code"]
        elif (refusal := cast("dict[str, Any]", message))["type"] == "websocket.http.response.start":
            self.status = refusal["status"]
        await self._send(message)
