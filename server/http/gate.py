"""What a request passes once it is routed: who asks, and whether they may.

Litestar's own middleware for authentication turns failures of a WebSocket into a bare 500, and knows no scopes; this is
its plain kind. A route says in its ``opt`` who may use it: :data:`PUBLIC`, ``needs(Scope.AUDIO)``, or ``needs()`` for
whoever is known. One that says nothing is for administrators.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final, cast

import msgspec
import structlog
from anyio import CancelScope
from litestar.datastructures import Headers
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from schemas.errors import ErrorCode, SpeechError
from schemas.principal import LOCAL, Principal
from schemas.principal import Scope as AccessScope
from server.auth.access import Access, Credential
from server.auth.challenge import challenge
from server.auth.quotas import OpenRequest, QuotaLedger
from server.errors import error_body, error_headers, request_id_of

Opt = dict[str, Any]

PUBLIC: Final[Opt] = {"public": True}
"""For everyone, without a key."""

SUBPROTOCOL: Final = "antiphon.v1"
TOKEN_SUBPROTOCOL: Final = "antiphon.bearer."  # noqa: S105  the form, not a secret
"""Browsers can send no header with a WebSocket; the token comes as a subprotocol, beside the one that is chosen."""
_ADMISSION_KEY: Final = "admission"
INVALID_NOW: Final = "The key or token by which this began is valid no longer."
_UNAUTHENTICATED_CODE: Final = 4401
_REFUSED_BEFORE_HANDSHAKE: Final = 1008


def needs(scope: AccessScope | None = None) -> Opt:
    """For whoever has that scope, or, without one, for whoever is known."""
    return {"scope": scope}


def principal_of(scope: Scope) -> Principal:
    """Who asks, on every route that is not public."""
    principal = cast("Mapping[str, Any]", scope)["user"]
    assert isinstance(principal, Principal)
    return principal


class Admission:
    """What a request came in by, for work that it began and that goes on without it.

    Args:
        access: Knows when the credential is valid no longer.
        credential: By which it came in.
        request: As it is counted.
    """

    def __init__(self, access: Access, credential: Credential, request: OpenRequest) -> None:
        self._access = access
        self._credential = credential
        self._request = request

    @contextmanager
    def held(self) -> Generator[CancelScope]:
        """The request counts as open inside the block, which is cancelled if the credential ceases to be valid."""
        with self._request.held(), self._access.held(self._credential) as scope:
            yield scope


def admission_of(scope: Mapping[str, Any]) -> Admission:
    """How a request came in, on every route that is not public."""
    admission = scope["state"][_ADMISSION_KEY]
    assert isinstance(admission, Admission)
    return admission


class Gate(ASGIMiddleware):
    """Sets ``scope["user"]``, the :class:`Principal`, or refuses.

    Args:
        access: Who may come in.
        quotas: What each has used.
    """

    exclude_opt_key = "public"

    def __init__(self, access: Access, quotas: QuotaLedger) -> None:
        self._access = access
        self._quotas = quotas

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Handle one HTTP request or WebSocket."""
        exchange = _Exchange(scope, send)
        with ExitStack() as stack:
            try:
                credential = await self._admit(scope)
                request = stack.enter_context(self._quotas.request(credential.principal))
            except SpeechError as error:
                await self._refuse(scope, send, error)
                return
            admission = Admission(self._access, credential, request)
            cast("dict[str, Any]", scope)["state"][_ADMISSION_KEY] = admission
            validity = stack.enter_context(admission.held())
            await next_app(scope, receive, exchange.send)
        if validity.cancelled_caught:
            await self._end(scope, exchange)

    async def _admit(self, scope: Scope) -> Credential:
        credential = await self._access.credential(_token(scope))
        scope["user"] = credential.principal
        if credential.principal is not LOCAL:
            structlog.contextvars.bind_contextvars(tenant=credential.principal.tenant)
        if scope["type"] != "http" or scope["method"] != "OPTIONS":
            needed = scope["route_handler"].opt.get("scope", AccessScope.ADMIN)
            if needed is not None:
                credential.principal.require(needed)
        return credential

    async def _end(self, scope: Scope, exchange: _Exchange) -> None:
        """The credential is valid no longer. What has begun over HTTP is cut off: to end it well would be a lie."""
        if not exchange.has_begun:
            await self._refuse(scope, exchange.send, SpeechError(ErrorCode.UNAUTHENTICATED, INVALID_NOW))
        elif scope["type"] == "websocket":
            await exchange.send({"type": "websocket.close", "code": _UNAUTHENTICATED_CODE, "reason": INVALID_NOW})

    async def _refuse(self, scope: Scope, send: Send, error: SpeechError) -> None:
        headers = {**error_headers(error), "Content-Type": "application/json"}
        if error.code in {ErrorCode.UNAUTHENTICATED, ErrorCode.INSUFFICIENT_SCOPE}:
            had_token = _token(scope) is not None
            headers["WWW-Authenticate"] = challenge(scope, error, self._access.resource, had_token=had_token)
        body = msgspec.json.encode(error_body(error, request_id_of(scope)))
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        raw.append((b"content-length", str(len(body)).encode()))
        # Litestar's types know no refusals of WebSockets: https://asgi.readthedocs.io/en/latest/extensions.html
        fields, answer = cast("Mapping[str, Any]", scope), cast("Any", send)
        if fields["type"] == "http":
            kind = "http.response"
        elif "websocket.http.response" in (fields.get("extensions") or {}):
            kind = "websocket.http.response"
        else:
            await send({"type": "websocket.close", "code": _REFUSED_BEFORE_HANDSHAKE, "reason": error.message})
            return
        await answer({"type": f"{kind}.start", "status": error.http_status, "headers": raw})
        await answer({"type": f"{kind}.body", "body": body, "more_body": False})


class _Exchange:
    """Chooses the subprotocol, and knows how far the answer has come."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self.has_begun = False
        self._offers = SUBPROTOCOL in _subprotocols(scope)

    async def send(self, message: Message) -> None:
        self.has_begun = True
        if message["type"] == "websocket.accept" and self._offers and not message.get("subprotocol"):
            message["subprotocol"] = SUBPROTOCOL
        await self._send(message)


def _token(scope: Scope) -> str | None:
    scheme, _, token = Headers.from_scope(scope).get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    for name in _subprotocols(scope):
        if name.startswith(TOKEN_SUBPROTOCOL):
            return name.removeprefix(TOKEN_SUBPROTOCOL)
    return None


def _subprotocols(scope: Scope) -> list[str]:
    """What a WebSocket's client offers."""
    return cast("Mapping[str, Any]", scope).get("subprotocols", [])
