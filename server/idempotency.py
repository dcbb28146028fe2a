"""Idempotency keys: a request that is sent again, because its answer was lost, is not done again.

Of requests with one key the first is done; those that come meanwhile wait for its answer, and all get the same. Keys
are the principal's own, and answers are kept for a while, in this process. Every surface has it from here: HTTP
(:mod:`server.http.idempotency`), calls of tools over MCP (:mod:`server.mcp.tools`), ``say`` of the WebSocket
(:mod:`server.http.stream`).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import anyio
import msgspec
from cachetools import TTLCache
from msgspec import Struct

from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Account

KEPT_S: Final = 3_600.0
KEPT_BYTES: Final = 64_000_000
MAX_ANSWER_BYTES: Final = 16_000_000
"""A longer answer is not kept, and who asks again is answered anew."""
MAX_KEY_CHARS: Final = 255
_ENTRY_BYTES: Final = 1_000
"""What keeping an answer takes beside its body and headers."""


Name = tuple[Account, bytes]


class KeyedRequest(Struct, frozen=True):
    """A request that named a key."""

    account: Account
    """Whose key it is."""
    operation: str
    """What it asks for: the same key may come with another operation, and is another request then."""
    key: str
    fingerprint: bytes
    """A hash of the rest of it."""

    @property
    def name(self) -> Name:
        """What makes it the same request; a hash, since paths may be long and names are kept."""
        return self.account, hashlib.sha256(msgspec.json.encode((self.operation, self.key))).digest()


class Answer(Struct, frozen=True):
    """What was answered to a request."""

    fingerprint: bytes
    """Of the request."""
    body: bytes
    status: int = 200
    """Of an HTTP response, as are the headers."""
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Attempt(Struct, eq=False):
    """Of answering a request: with what there is, or anew."""

    fingerprint: bytes
    answer: Answer | None = None
    """The one to give again; ``None`` if the request is to be done, and the answer to be put here if it may be kept."""
    ended: anyio.Event = msgspec.field(default_factory=anyio.Event)


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
        (tenant, _), _ = name
        kept = self._by_tenant.get(tenant)
        return None if kept is None else kept.get(name)

    def keep(self, name: Name, answer: Answer) -> None:
        """Keep one."""
        (tenant, _), _ = name
        if tenant not in self._by_tenant:
            self._by_tenant[tenant] = TTLCache[Name, Answer](self._max_bytes, KEPT_S, getsizeof=_size_bytes)
        self._by_tenant[tenant][name] = answer
        sizes = {tenant: kept.currsize for tenant, kept in self._by_tenant.items()}
        while sum(sizes.values()) > self._max_bytes:
            largest = max(sizes, key=sizes.__getitem__)
            self._by_tenant[largest].popitem()
            sizes[largest] = self._by_tenant[largest].currsize
        self._by_tenant = {tenant: kept for tenant, kept in self._by_tenant.items() if sizes[tenant]}


class Idempotency:
    """Does requests once. One an application.

    Args:
        wait_s: How long a repeated request waits for the answer to the first.
    """

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._running: dict[Name, Attempt] = {}
        self._answers = Answers(KEPT_BYTES)

    @asynccontextmanager
    async def attempt(self, request: KeyedRequest) -> AsyncGenerator[Attempt]:
        """Answer a request, inside the block: by the answer there is, or, without one, by doing it.

        Raises:
            SpeechError: ``invalid_request`` for a key that is too long; ``idempotency_mismatch`` if it came with
                another request; ``deadline_exceeded`` if the first with it is not answered yet.
        """
        if not 0 < len(request.key) <= MAX_KEY_CHARS:
            raise SpeechError(
                ErrorCode.INVALID_REQUEST,
                f"An idempotency key has 1 to {MAX_KEY_CHARS} characters.",
                param="Idempotency-Key",
            )
        if (answer := await self._answer(request)) is not None:
            yield Attempt(request.fingerprint, answer)
            return
        attempt = self._running[request.name] = Attempt(request.fingerprint)
        try:
            yield attempt
        finally:
            if (answer := attempt.answer) is not None and len(answer.body) <= MAX_ANSWER_BYTES:
                self._answers.keep(request.name, answer)
            del self._running[request.name]
            attempt.ended.set()

    async def _answer(self, request: KeyedRequest) -> Answer | None:
        """What was answered to that request; ``None`` if it is to be answered now."""
        with anyio.move_on_after(self._wait_s):
            while True:
                answer = self._answers.get(request.name)
                earlier = answer or self._running.get(request.name)
                if earlier is not None and earlier.fingerprint != request.fingerprint:
                    raise SpeechError(
                        ErrorCode.IDEMPOTENCY_MISMATCH,
                        "This idempotency key came with another request before. Use a new key for each request.",
                        param="Idempotency-Key",
                    )
                if not isinstance(earlier, Attempt):
                    return answer
                await earlier.ended.wait()
        raise SpeechError(
            ErrorCode.DEADLINE_EXCEEDED, "The first request with this idempotency key has not been answered yet."
        )


def _size_bytes(answer: Answer) -> int:
    return len(answer.body) + sum(map(len, itertools.chain(*answer.headers))) + _ENTRY_BYTES
