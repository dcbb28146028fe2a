"""A light HTTP/1.1 client that knows when each piece of a body arrived.

The general clients take milliseconds of their own for a request, which is as much as the server is allowed to.
"""

from __future__ import annotations

import time
from typing import Any, Final, cast

import anyio
import h11
import msgspec
from anyio.abc import SocketStream
from msgspec import Struct

from benchmarks.processes import LOOPBACK

TIMEOUT_S: Final = 120.0
_READ_BYTES: Final = 65_536
_BOUNDARY: Final = "antiphon-benchmark"


class Reply(Struct, frozen=True, kw_only=True):
    """An answer and when it came."""

    status: int
    body: bytes
    arrivals: tuple[tuple[float, int], ...]
    """Seconds since the request began to be sent, and bytes of body in all, after each piece."""

    def arrived_s(self, size: int) -> float:
        """When that many bytes of the body were there.

        Raises:
            ValueError: There were never so many.
        """
        for at_s, total in self.arrivals:
            if total >= size:
                return at_s
        raise ValueError(f"the body has {len(self.body)} bytes, not {size}")

    @property
    def took_s(self) -> float:
        """When the last byte of the body was there."""
        return self.arrivals[-1][0] if self.arrivals else 0.0

    def checked(self) -> Reply:
        """This reply. Raises ``RuntimeError`` if it is an error."""
        if self.status != 200:  # noqa: PLR2004  OK
            raise RuntimeError(f"HTTP {self.status}: {self.body[:200].decode(errors='replace')}")
        return self


class Connection:
    """Asks one server, over a new connection each time: an idle one may be closed by the server at any moment.

    Connecting is not counted.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    async def get(self, path: str) -> Reply:
        """``GET``."""
        return await self._request("GET", path, b"", "")

    async def post_json(self, path: str, value: object) -> Reply:
        """``POST`` of JSON."""
        return await self._request("POST", path, msgspec.json.encode(value), "application/json")

    async def post_file(self, path: str, file: bytes, fields: dict[str, str]) -> Reply:
        """``POST`` of a form with a file."""
        parts = [
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        head = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="clip.wav"\r\n'
            "Content-Type: audio/wav\r\n\r\n"
        )
        body = b"".join([*parts, head.encode(), file, f"\r\n--{_BOUNDARY}--\r\n".encode()])
        return await self._request("POST", path, body, f"multipart/form-data; boundary={_BOUNDARY}")

    async def _request(self, method: str, path: str, body: bytes, kind: str) -> Reply:
        headers = [("Host", f"{LOOPBACK}:{self._port}"), ("Content-Length", str(len(body))), ("Connection", "close")]
        if kind:
            headers.append(("Content-Type", kind))
        http = h11.Connection(h11.CLIENT)
        request = h11.Request(method=method, target=path, headers=headers)
        parts = [http.send(request), http.send(h11.Data(body)), http.send(h11.EndOfMessage())]
        status, pieces, arrivals, total = 0, list[bytes](), list[tuple[float, int]](), 0
        with anyio.fail_after(TIMEOUT_S):
            async with await anyio.connect_tcp(LOOPBACK, self._port) as stream:
                began = time.perf_counter()
                await stream.send(b"".join(part or b"" for part in parts))
                while not isinstance(event := _next_event(http), h11.EndOfMessage):
                    if event is h11.NEED_DATA:
                        http.receive_data(await _received(stream))
                    elif isinstance(event, h11.Response):
                        status = event.status_code
                    elif isinstance(event, h11.Data):
                        pieces.append(bytes(event.data))
                        total += len(event.data)
                        arrivals.append((time.perf_counter() - began, total))
        return Reply(status=status, body=b"".join(pieces), arrivals=tuple(arrivals))


def _next_event(http: h11.Connection) -> object:
    try:
        return http.next_event()
    except h11.RemoteProtocolError as error:
        raise ConnectionError(f"the server broke off: {error}") from error


async def _received(stream: SocketStream) -> bytes:
    try:
        return await stream.receive(_READ_BYTES)
    except anyio.EndOfStream:
        return b""
    except anyio.BrokenResourceError as error:
        raise ConnectionError("the server reset the connection") from error


async def is_ok(port: int, path: str) -> bool:
    """Whether ``GET`` is answered with 200. Raises ``OSError`` if nothing listens."""
    return (await Connection(port).get(path)).status == 200  # noqa: PLR2004  OK


def json_of(reply: Reply) -> dict[str, Any]:
    """The body as an object. Raises ``RuntimeError`` if it is an error."""
    return cast("dict[str, Any]", msgspec.json.decode(reply.checked().body))
