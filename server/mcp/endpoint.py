"""``/mcp``: the Model Context Protocol over streamable HTTP."""

from __future__ import annotations

from typing import Any, Final, cast

from litestar import asgi
from litestar.datastructures import Headers
from litestar.handlers import ASGIRouteHandler
from litestar.types import HTTPReceiveMessage, Receive, Scope, Send, WebSocketReceiveMessage
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, AuthorizationContext
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings

from schemas.errors import ErrorCode, SpeechError
from schemas.validation import require_commas
from server.http.gate import needs, principal_of
from server.mcp.services import PRINCIPAL_KEY, McpServer

PATH: Final = "/mcp"
MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""The SDK parses bodies on the event loop: Base64 at one to two milliseconds a megabyte, and more than
:data:`schemas.validation.MAX_COMMAS` elements are refused before. Longer recordings go to
``/v1/audio/transcriptions``, where they are not inside JSON."""
MAX_CONNECTIONS: Final = 1_000
"""Of clients of 2025-11-25, whose protocol has sessions of its own. 2026-07-28 has none."""
MAX_CONNECTIONS_EACH: Final = 100
"""Of one key or token."""
CONNECTION_IDLE_S: Final = 600.0
"""Without a request or stream of its own; the client then begins a new one, as that revision wants."""
_FULL_RETRY_S: Final = 5.0
_POLICY_VIOLATION: Final = 1008
"""Close code of RFC 6455. Before the handshake it is an HTTP 403."""


class McpManager(StreamableHTTPSessionManager):
    """The SDK's, but nobody takes all connections of 2025-11-25, and who gets none is told when to try again."""

    def _admit_session(self, requestor: AuthorizationContext | None) -> StreamableHTTPServerTransport:
        owned = sum(owner == requestor for owner in self._session_owners.values())
        if owned >= MAX_CONNECTIONS_EACH:
            raise SpeechError(
                ErrorCode.QUOTA_EXCEEDED,
                f"This key or token may have {MAX_CONNECTIONS_EACH} connections of MCP at the same time. End one with "
                "DELETE, or speak revision 2026-07-28, which has none.",
                retry_after_s=_FULL_RETRY_S,
            )
        transport = super()._admit_session(requestor)
        if transport is None:
            raise SpeechError(
                ErrorCode.OVERLOADED,
                "The server has all connections of MCP that it takes. Try again later, or speak revision 2026-07-28, "
                "which has none.",
                retry_after_s=_FULL_RETRY_S,
            )
        return transport

    def close_streams(self) -> None:
        """Let go of those that clients of 2025-11-25 keep open for what the server may want: it stops."""
        for transport in self._server_instances.values():
            transport.close_standalone_sse_stream()


def mcp_manager(server: McpServer, *, max_body_bytes: int) -> McpManager:
    """Serves a server over HTTP; its ``run()`` has to be entered for the time of the application.

    Args:
        server: What to serve.
        max_body_bytes: Of all bodies the application takes.
    """
    return McpManager(
        server,
        max_request_body_size=min(MAX_BODY_BYTES, max_body_bytes),
        max_sessions=MAX_CONNECTIONS,
        session_idle_timeout=CONNECTION_IDLE_S,
        # The front door has checked Host and Origin, for this path as for every other and whatever address the server
        # is bound to. A second list, which cannot say "any IP address", could only disagree with it.
        security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )


def mcp_route(manager: McpManager) -> ASGIRouteHandler:
    """The route of an application."""

    @asgi(PATH, copy_scope=True, opt=needs())
    async def mcp(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send(
                {"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "MCP is spoken over HTTP here."}
            )
            return
        principal = principal_of(scope)
        scope["state"][PRINCIPAL_KEY] = principal
        # The SDK binds the connections of 2025-11-25 to whom it finds here.
        token = AccessToken(token="", client_id=principal.tenant, subject=principal.subject, scopes=[])
        scope["user"] = AuthenticatedUser(token)
        # Starlette types a scope as a mapping, Litestar as one of its own.
        await cast("Any", manager.asgi_app)(scope, _counting(scope, receive, manager.max_request_body_size), send)

    return mcp


def _counting(scope: Scope, receive: Receive, max_bytes: int) -> Receive:
    """The same messages, until they have more bytes or elements than may be: the SDK reads all of it, then parses."""
    announced = Headers.from_scope(scope).get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    size_bytes = commas = 0

    async def counted() -> HTTPReceiveMessage | WebSocketReceiveMessage:
        nonlocal size_bytes, commas
        message = await receive()
        if message["type"] == "http.request":
            size_bytes += len(message["body"])
            if size_bytes > max_bytes:
                raise _too_large(max_bytes)
            commas += message["body"].count(b",")
            require_commas(commas)
        return message

    return counted


def _too_large(max_bytes: int) -> SpeechError:
    return SpeechError(
        ErrorCode.BODY_TOO_LARGE,
        f"The message is larger than the {max_bytes} bytes that are taken here. Send a long recording to "
        "/v1/audio/transcriptions as a form, or name its URL as audio_url.",
    )
