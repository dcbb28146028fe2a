"""``Idempotency-Key``: a request that is sent again, because its answer was lost, is not done again.

Of requests with one key the first is done; those that come meanwhile wait for its answer, and all get the same. What
failed in a way that a retry can mend is not kept. Keys are the principal's own, and answers are kept for a while, in
this process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import anyio
from anyio import to_thread
from cachetools import TTLCache
from litestar import Request
from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.handlers import HTTPRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import Struct

from schemas.errors import ERRORS, ErrorCode, SpeechError
from schemas.principal import Account
from server.errors import HttpRequest
from server.http.bodies import MULTIPART, whole_body
from server.http.gate import Opt, principal_of

HEADER: Final = "Idempotency-Key"
KEPT_S: Final = 3_600.0
KEPT_BYTES: Final = 64_000_000
MAX_ANSWER_BYTES: Final = 16_000_000
"""A longer answer is not kept, and who asks again is answered anew."""
_ENTRY_BYTES: Final = 1_000
"""What keeping an answer takes beside its body."""
_MAX_KEY_CHARS: Final = 255
MAX_CUTS: Final = 300
"""A form with more boundaries is compared as it is."""
_SERVER_ERROR: Final = 500

ENDLESS: Final[Opt] = {"endless": True}
"""For routes whose bodies last as long as somebody speaks, so that they cannot be compared."""

Name = tuple[Account, str, str]


class Answer(Struct, frozen=True):
    """What was answered to a request."""

    fingerprint: bytes
    """Of the request."""
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class _Attempt(Struct, frozen=True, eq=False):
    fingerprint: bytes
    ended: anyio.Event


class Answers:
    """Answers that may be asked for again. Where there are too many, who keeps most loses the one not used longest.

    Args:
        max_bytes: Of all tenants.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._by_tenant: dict[str, TTLCache[Name, Answer]] = {}

    def get(self, name: Name) -> Answer | None:
        """The answer to a request, if it is kept."""
        (tenant, _), _, _ = name
        kept = self._by_tenant.get(tenant)
        return None if kept is None else kept.get(name)

    def keep(self, name: Name, answer: Answer) -> None:
        """Keep one."""
        (tenant, _), _, _ = name
        if tenant not in self._by_tenant:
            self._by_tenant[tenant] = TTLCache[Name, Answer](self._max_bytes, KEPT_S, getsizeof=_size_bytes)
        self._by_tenant[tenant][name] = answer
        sizes = {tenant: kept.currsize for tenant, kept in self._by_tenant.items()}
        while sum(sizes.values()) > self._max_bytes:
            largest = max(sizes, key=sizes.__getitem__)
            self._by_tenant[largest].popitem()
            sizes[largest] = self._by_tenant[largest].currsize
        self._by_tenant = {tenant: kept for tenant, kept in self._by_tenant.items() if sizes[tenant]}


class Idempotency(ASGIMiddleware):
    """Answers a repeated POST as it was answered before.

    Args:
        wait_s: How long a repeated request waits for the answer to the first.
    """

    scopes = (ScopeType.HTTP,)
    exclude_opt_key = "endless"

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._running: dict[Name, _Attempt] = {}
        self._answers = Answers(KEPT_BYTES)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Handle one request."""
        key = Headers.from_scope(scope).get(HEADER)
        handler = scope["route_handler"]
        if key is None or not isinstance(handler, HTTPRouteHandler) or "POST" not in handler.http_methods:
            await next_app(scope, receive, send)
            return
        if not 0 < len(key) <= _MAX_KEY_CHARS:
            raise SpeechError(
                ErrorCode.INVALID_REQUEST, f"{HEADER} has 1 to {_MAX_KEY_CHARS} characters.", param=HEADER
            )
        request: HttpRequest = Request(scope, receive, send)
        fingerprint = await _fingerprint(request)
        name = (principal_of(scope).account, scope["path"], key)
        if (answer := await self._answer(name, fingerprint)) is not None:
            await _replay(answer, send)
            return
        recorder = _Recorder(fingerprint, send)
        attempt = self._running[name] = _Attempt(fingerprint, anyio.Event())
        try:
            await next_app(scope, receive, recorder.send)
        finally:
            if (answer := recorder.answer()) is not None:
                self._answers.keep(name, answer)
            del self._running[name]
            attempt.ended.set()

    async def _answer(self, name: Name, fingerprint: bytes) -> Answer | None:
        """What was answered to that request; ``None`` if it is to be answered now."""
        with anyio.move_on_after(self._wait_s):
            while True:
                answer = self._answers.get(name)
                earlier = answer or self._running.get(name)
                if earlier is not None and earlier.fingerprint != fingerprint:
                    raise SpeechError(
                        ErrorCode.IDEMPOTENCY_MISMATCH,
                        f"This {HEADER} came with another request before. Use a new key for each request.",
                        param=HEADER,
                    )
                if not isinstance(earlier, _Attempt):
                    return answer
                await earlier.ended.wait()
        raise SpeechError(
            ErrorCode.DEADLINE_EXCEEDED, f"The first request with this {HEADER} has not been answered yet."
        )


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
        return Answer(self._fingerprint, self._status, self._headers, bytes(self._body))


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


def _size_bytes(answer: Answer) -> int:
    return len(answer.body) + _ENTRY_BYTES
