"""``Idempotency-Key``: a POST that is sent again is answered as it was before (:mod:`server.idempotency`).

What failed in a way that a retry can mend is not kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from anyio import to_thread
from litestar import Request
from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.handlers import HTTPRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from schemas.errors import ERRORS, ErrorCode
from server.errors import HttpRequest
from server.http.bodies import MULTIPART, whole_body
from server.http.gate import Opt, principal_of
from server.idempotency import MAX_ANSWER_BYTES, Answer, Idempotency, KeyedRequest

HEADER: Final = "Idempotency-Key"
MAX_CUTS: Final = 300
"""A form with more boundaries is compared as it is."""
_SERVER_ERROR: Final = 500

ENDLESS: Final[Opt] = {"endless": True}
"""For routes whose bodies last as long as somebody speaks, so that they cannot be compared."""


class IdempotencyKeys(ASGIMiddleware):
    """Answers a repeated POST as it was answered before.

    Args:
        idempotency: Of the application.
    """

    scopes = (ScopeType.HTTP,)
    exclude_opt_key = "endless"

    def __init__(self, idempotency: Idempotency) -> None:
        self._idempotency = idempotency

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Handle one request."""
        key = Headers.from_scope(scope).get(HEADER)
        handler = scope["route_handler"]
        if key is None or not isinstance(handler, HTTPRouteHandler) or "POST" not in handler.http_methods:
            await next_app(scope, receive, send)
            return
        fingerprint = await _fingerprint(Request(scope, receive, send))
        keyed = KeyedRequest(principal_of(scope).account, scope["path"], key, fingerprint)
        async with self._idempotency.attempt(keyed) as attempt:
            if attempt.answer is not None:
                await _replay(attempt.answer, send)
                return
            recorder = _Recorder(fingerprint, send)
            try:
                await next_app(scope, receive, recorder.send)
            finally:
                attempt.answer = recorder.answer()


class _Recorder:
    """Sends an answer, and remembers it."""

    def __init__(self, fingerprint: bytes, send: Send) -> None:
        self._fingerprint = fingerprint
        self._send = send
        self._status = _SERVER_ERROR
        self._headers: tuple[tuple[bytes, bytes], ...] = ()
        self._body = bytearray()
        self._is_complete = False
        self._is_kept = True

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = tuple((bytes(name), bytes(value)) for name, value in message["headers"])
        elif message["type"] == "http.response.body":
            self._body += message["body"]
            if len(self._body) > MAX_ANSWER_BYTES:
                self._is_kept = False
                self._body.clear()
            self._is_complete = not message["more_body"]
        await self._send(message)

    def answer(self) -> Answer | None:
        """The whole of it, if it is one to be kept."""
        may_change = (b"x-should-retry", b"true") in self._headers
        is_final = self._status < _SERVER_ERROR and self._status != ERRORS[ErrorCode.CANCELLED].http_status
        if not (self._is_complete and self._is_kept and is_final) or may_change:
            return None
        return Answer(self._fingerprint, bytes(self._body), self._status, self._headers)


async def _replay(answer: Answer, send: Send) -> None:
    headers = [*answer.headers, (b"idempotent-replayed", b"true")]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


async def _fingerprint(request: HttpRequest) -> bytes:
    body = await whole_body(request)
    kind, options = request.content_type
    # Clients make up a new boundary each time they send a form.
    boundary = options.get("boundary", "") if kind == MULTIPART else ""
    head = "\n".join((request.url.query, kind, request.headers.get("accept", "")))
    return await to_thread.run_sync(_digest, head.encode(), body, boundary.encode())


def _digest(head: bytes, body: bytes, boundary: bytes) -> bytes:
    """Of the body as it is, or, of a form, without its boundaries."""
    digest = hashlib.sha256(head)
    for piece in form_pieces(body, boundary) if boundary else [body]:
        digest.update(b"\0")
        digest.update(piece)
    return digest.digest()


def form_pieces(body: bytes, boundary: bytes) -> Sequence[memoryview]:
    """What is between the boundaries. A form with more of them than any has is one piece: each cut holds the GIL."""
    delimiter, whole = b"--" + boundary, memoryview(body)
    pieces: list[memoryview] = []
    start = 0
    while (end := body.find(delimiter, start)) >= 0:
        if len(pieces) == MAX_CUTS:
            return [whole]
        pieces.append(whole[start:end])
        start = end + len(delimiter)
    return [*pieces, whole[start:]]
