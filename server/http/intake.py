"""How bodies of requests come in: in time, and not more of them at once than there is memory for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, cast

import anyio
from litestar.datastructures import Headers
from litestar.types import HTTPReceiveMessage, Receive, Scope, WebSocketReceiveMessage

from schemas.errors import ErrorCode, SpeechError

_RETRY_AFTER_S: Final = 1.0
_BODILESS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS"})
"""Streams of events ask for the next piece to learn that the client has gone, and drop it."""


class BodyMemory:
    """What the bodies of all requests may take together. Decoding takes some more for a moment.

    Args:
        max_bytes: In all.
        max_body_bytes: Of one.
        share: How much of what the other tenants leave one may take.
    """

    def __init__(self, max_bytes: int, *, max_body_bytes: int, share: float = 1.0) -> None:
        self._max_bytes = max_bytes
        self.max_body_bytes = max_body_bytes
        self._share = share
        self._held_bytes = Counter[str]()

    def hold(self, tenant: str, size_bytes: int) -> None:
        """Take so much.

        Raises:
            SpeechError: ``overloaded`` if it is not there.
        """
        own_bytes = self._held_bytes[tenant]
        left_bytes = self._max_bytes - (self._held_bytes.total() - own_bytes)
        if own_bytes + size_bytes > left_bytes * self._share:
            raise SpeechError(
                ErrorCode.OVERLOADED,
                "Too many large requests are coming in at once. Try again in a moment.",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._held_bytes[tenant] += size_bytes

    def release(self, tenant: str, size_bytes: int) -> None:
        """Give so much back."""
        self._held_bytes[tenant] -= size_bytes
        self._held_bytes = +self._held_bytes  # without those who hold nothing


class Intake:
    """The body of one request.

    Ends requests whose body does not arrive: uvicorn would let one byte a second hold a connection for ever. What a
    body says to be its length is set aside when its first piece is asked for, so that of many large ones some are
    taken whole and the others refused at once. Where a method has no use for a body, nothing is.

    Args:
        scope: Of the request.
        receive: ASGI's.
        timeout_s: From now until the end of the body.
        memory: Of all bodies.
    """

    def __init__(self, scope: Scope, receive: Receive, timeout_s: float, memory: BodyMemory) -> None:
        headers = Headers.from_scope(scope)
        length = headers.get("content-length", "")
        self._announced_bytes = int(length) if length.isascii() and length.isdigit() else 0
        self._scope = cast("Mapping[str, Any]", scope)
        self._tenant = ""
        self._receive = receive
        self._timeout_s = timeout_s
        self._deadline_s = anyio.current_time() + timeout_s
        self._memory = memory
        self._held_bytes = 0
        self._received_bytes = 0
        self._is_kept = self._scope["method"] not in _BODILESS
        self._of_pieces = False
        self._complete = not self._announced_bytes and "transfer-encoding" not in headers
        self.is_ambiguous = "content-length" in headers and "transfer-encoding" in headers
        """Whether it says its length in two ways."""
        self.passed = False
        """Whether the body did not arrive in time."""

    @classmethod
    def of(cls, scope: Scope) -> Intake:
        """The intake that the front door gave to this request."""
        intake = scope["state"]["intake"]
        assert isinstance(intake, Intake)
        return intake

    def take_pieces(self) -> None:
        """For bodies that last as long as somebody speaks: each piece has its own time, and none is kept."""
        self._of_pieces, self._is_kept = True, False

    def close(self) -> None:
        """The request is over."""
        self._memory.release(self._tenant, self._held_bytes)
        self._held_bytes = 0

    async def receive(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        """The next message.

        Raises:
            SpeechError: ``deadline_exceeded``; ``overloaded`` if there is no memory for it.
        """
        if self._complete:
            return await self._receive()
        if self._of_pieces:
            self._deadline_s = anyio.current_time() + self._timeout_s
        else:
            # More than one may have is refused by its route, once there is as much.
            self._hold(min(self._announced_bytes, self._memory.max_body_bytes))
        with anyio.move_on_at(self._deadline_s):
            message = await self._receive()
            self._complete = not message.get("more_body", False)
            self._received_bytes += len(message.get("body", b""))
            self._hold(self._received_bytes)
            return message
        self.passed = True
        raise SpeechError(
            ErrorCode.DEADLINE_EXCEEDED, f"The body of the request did not arrive within {self._timeout_s:g} s."
        )

    def _hold(self, size_bytes: int) -> None:
        more_bytes = size_bytes - self._held_bytes
        if not self._is_kept or more_bytes <= 0:
            return
        if not self._held_bytes and (principal := self._scope.get("user")) is not None:
            self._tenant = principal.tenant
        self._memory.hold(self._tenant, more_bytes)
        self._held_bytes = size_bytes
