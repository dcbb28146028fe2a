"""A session's events over HTTP, and whether a client that loses the connection misses or repeats any."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final

import httpx
import msgspec
from msgspec import Struct

from evals.targets.http_errors import checked, told

_NAME: Final = "Antiphon"
_CLOSED: Final = "session.closed"


class Event(Struct, frozen=True):
    """One event, as it was sent."""

    id: int
    type: str
    data: str
    """JSON."""

    @property
    def content(self) -> dict[str, Any]:
        """The data."""
        return msgspec.json.decode(self.data)


async def events(http: httpx.AsyncClient, path: str, after: int = 0) -> AsyncGenerator[Event]:
    """The events of a session after one, until the stream ends.

    Args:
        http: Of the server.
        path: Of the session.
        after: The last event that was seen.

    Raises:
        SpeechError: The server refused.
    """
    headers = {"Last-Event-ID": str(after)} if after else {}
    request = http.stream("GET", f"{path}/events", params={"audio": "none"}, headers=headers)
    async with told(_NAME), request as response:
        if response.status_code == HTTPStatus.NO_CONTENT:
            return
        await checked(response, _NAME)
        number, name = 0, ""
        async for line in response.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "id":
                number = int(value)
            elif field == "event":
                name = value
            elif field == "data":
                yield Event(number, name, value)


async def followed(http: httpx.AsyncClient, path: str, *, cut_after: int) -> list[Event]:
    """The events of a session while it lasts, by a client that loses the connection after every so many.

    It gives up at the first event that it has seen before: to go on might take for ever.
    """
    seen: list[Event] = []
    while not seen or seen[-1].type != _CLOSED:
        got = 0
        async with aclosing(events(http, path, seen[-1].id if seen else 0)) as stream:
            async for event in stream:
                is_old = bool(seen) and event.id <= seen[-1].id
                seen.append(event)
                if is_old:
                    return seen
                got += 1
                if got == cut_after:
                    break
        if not got:
            break
    return seen
