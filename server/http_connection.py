"""A connection of uvicorn's with a deadline for the head of each request, and for the rest of a body that nobody wants.

uvicorn bounds how long an idle connection is kept after a response, and nothing before one: a client that sends a
header every minute would hold a connection, and its file descriptor, for ever. Bodies have a deadline of their own,
inside the application: :mod:`server.http.intake`.

A request that is refused before its body was read is answered at once, and the rest of the body dropped for a moment:
were the connection closed at once, its client would meet a reset before it read the answer. uvicorn would drop it for
ever.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

LINGER_S: Final = 2.0
"""For the rest of a body after the answer."""


class HttpConnection(H11Protocol):
    """One client's connection.

    Args:
        head_timeout_s: From the connection, or from the answer before, until the last byte of the head.
        options: As of the base class.
    """

    def __init__(self, *, head_timeout_s: float, **options: Any) -> None:  # noqa: ANN401  uvicorn's own
        super().__init__(**options)
        self._head_timeout_s = head_timeout_s
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        # uvloop's transports are no subclass of asyncio's.
        super().connection_made(cast("asyncio.Transport", transport))
        self._watch()

    def data_received(self, data: bytes) -> None:
        """A part of a request has come."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """The answer has been sent."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        super().connection_lost(exc)
        self._stop_watching()

    def _watch(self) -> None:
        is_answered = self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY
        if self.conn.their_state is h11.IDLE:
            self._give_up_after(self._head_timeout_s)
        elif is_answered:
            self._give_up_after(LINGER_S)
        else:
            self._stop_watching()

    def _give_up_after(self, timeout_s: float) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(timeout_s, self._give_up)

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()
