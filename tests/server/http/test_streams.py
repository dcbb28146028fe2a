from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import structlog
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import ASGIApp

from schemas.errors import ErrorCode, SpeechError
from server.http.streams import streamed, until_disconnected

pytestmark = pytest.mark.anyio

SCOPE: Any = {"type": "http", "method": "GET", "path": "/", "headers": [], "state": {}}


async def connected() -> Any:
    await anyio.sleep_forever()


async def disconnected() -> Any:
    return {"type": "http.disconnect"}


class Source:
    """Endless pieces, and whether they were closed."""

    def __init__(self) -> None:
        self.closed = False

    @asynccontextmanager
    async def start(self) -> AsyncGenerator[AsyncIterator[bytes]]:
        async def pieces() -> AsyncGenerator[bytes]:
            while True:
                yield b"piece"

        try:
            yield pieces()
        finally:
            self.closed = True


def audio(pieces: AsyncGenerator[bytes]) -> ASGIApp:
    return ASGIStreamingResponse(iterator=pieces)


async def test_work_is_done_while_the_client_waits() -> None:
    async def work() -> str:
        return "done"

    assert await until_disconnected(connected, work) == "done"


async def test_a_failure_of_the_work_is_raised_as_it_is() -> None:
    async def work() -> None:
        raise SpeechError(ErrorCode.OVERLOADED, "Busy.")

    with pytest.raises(SpeechError, match="Busy"):
        await until_disconnected(connected, work)


async def test_work_is_cancelled_when_the_client_goes_away() -> None:
    with anyio.fail_after(10), pytest.raises(SpeechError) as caught:
        await until_disconnected(disconnected, anyio.sleep_forever)
    assert caught.value.code is ErrorCode.CANCELLED


async def test_nothing_is_sent_when_the_source_fails_at_once() -> None:
    @asynccontextmanager
    async def start() -> AsyncGenerator[AsyncIterator[bytes]]:
        async def pieces() -> AsyncGenerator[bytes]:
            raise SpeechError(ErrorCode.ENGINE_FAILED, "Broken.")
            yield b""

        yield pieces()

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(SpeechError, match="Broken"):
        await streamed(start, audio)(SCOPE, connected, send)
    assert sent == []


async def test_a_client_that_takes_no_data_is_cut_off_and_the_source_is_closed() -> None:
    source = Source()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        if len(sent) == 3:
            await anyio.sleep_forever()
        sent.append(message)

    with anyio.fail_after(10), structlog.testing.capture_logs() as logs:
        await streamed(source.start, audio, send_timeout_s=0.05)(SCOPE, connected, send)
    assert source.closed
    assert [log["event"] for log in logs] == ["slow_client_cut_off"]


async def test_the_source_is_closed_when_the_client_goes_away_between_pieces() -> None:
    source = Source()
    left = anyio.Event()

    async def receive() -> Any:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            left.set()
        await anyio.lowlevel.checkpoint()

    with anyio.fail_after(10):
        await streamed(source.start, audio)(SCOPE, receive, send)
    assert source.closed
