"""What becomes of a recording if the server fails: against a made-up server that does."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import httpx
import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from evals.asr.live import Streamed, stream
from evals.cache import Cache
from evals.corpora.utterance import Utterance
from evals.decoding import wav
from evals.runner import Failure, Runner
from schemas.errors import ErrorCode, SpeechError

pytestmark = pytest.mark.anyio

HALF_A_SECOND = Utterance(id="a", audio=wav(np.zeros(8_000, np.float32)), text="hello", language="en")
Handler = Callable[[ServerConnection], Awaitable[None]]


def answer(request: httpx.Request) -> httpx.Response:
    assert request.url.path == "/v1/sessions"
    return httpx.Response(201, json={"session_id": "s1"})


@asynccontextmanager
async def fake_server(handler: Handler, refused_with: HTTPStatus | None = None) -> AsyncGenerator[httpx.AsyncClient]:
    """Opens every session; its WebSocket is what the test makes it."""

    def process(connection: ServerConnection, _request: Request) -> Response | None:
        return None if refused_with is None else connection.respond(refused_with, "no room")

    async with serve(handler, "127.0.0.1", 0, process_request=process) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", transport=httpx.MockTransport(answer)
        ) as http:
            yield http


async def breaks(socket: ServerConnection) -> None:
    await socket.recv()
    await socket.close(1011, "engine failed")


async def test_a_connection_that_breaks_is_a_failed_session_and_the_others_go_on(tmp_path: Path) -> None:
    done = Streamed(text="hello")

    async def work(broken: bool) -> Streamed:
        return await stream(http, HALF_A_SECOND) if broken else done

    async with fake_server(breaks) as http:
        found = await Runner(Cache(tmp_path), 2).run(
            [False, True, False], work, lambda broken: [broken], Streamed, kind="stream"
        )
    assert found[0] == found[2] == done
    assert isinstance(found[1], Failure)
    assert found[1].code is ErrorCode.INTERNAL
    assert "engine failed" in found[1].message


async def test_a_server_that_hangs_up_early_in_good_order_has_failed_all_the_same() -> None:
    async def leaves(socket: ServerConnection) -> None:
        await socket.recv()

    async with fake_server(leaves) as http:
        with pytest.raises(SpeechError, match="connection broke"):
            await stream(http, HALF_A_SECOND)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (HTTPStatus.TOO_MANY_REQUESTS, ErrorCode.OVERLOADED),
        (HTTPStatus.SERVICE_UNAVAILABLE, ErrorCode.OVERLOADED),
        (HTTPStatus.UNAUTHORIZED, ErrorCode.INVALID_REQUEST),
        (HTTPStatus.INTERNAL_SERVER_ERROR, ErrorCode.INTERNAL),
    ],
)
async def test_a_handshake_that_is_refused_is_what_the_server_says(status: HTTPStatus, code: ErrorCode) -> None:
    async with fake_server(breaks, refused_with=status) as http:
        with pytest.raises(SpeechError, match=f"status {status.value}: no room") as caught:
            await stream(http, HALF_A_SECOND)
    assert caught.value.code is code


async def test_a_socket_that_nobody_accepts_may_be_tried_again() -> None:
    async with fake_server(breaks) as http:
        pass
    async with httpx.AsyncClient(base_url=http.base_url, transport=httpx.MockTransport(answer)) as late:
        with pytest.raises(SpeechError, match="opened no WebSocket") as caught:
            await stream(late, HALF_A_SECOND)
    assert caught.value.code is ErrorCode.OVERLOADED
