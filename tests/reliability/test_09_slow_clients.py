"""Row 9: slow heads and slow bodies are closed at the deadline, and disturb nobody.

The server, the slow clients and who asks for its health are a process each: what the last measures is the server.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteReceiveStream
from anyio.streams.buffered import BufferedByteReceiveStream

from server.settings import LimitSettings, Settings

pytestmark = pytest.mark.anyio

CLIENTS = 200
DEADLINE_S = 3.0
HEALTH_P99_S = 0.2
BYTE_S = 1.0
ASK_EVERY_S = 0.01
HEAD = "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\n"
BODY = "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n--b\r\n"


class SlowClients:
    """What became of them."""

    def __init__(self, output: ByteReceiveStream) -> None:
        self._output = BufferedByteReceiveStream(output)
        self.answers: list[str] = []
        self.all_closed = anyio.Event()

    async def connected(self) -> None:
        """Return when all are."""
        assert await self._output.receive_until(b"\n", 100) == b"connected"

    async def read(self) -> None:
        """Wait for what the server said to each."""
        data = b"".join([piece async for piece in self._output])
        self.answers = json.loads(data)
        self.all_closed.set()


@asynccontextmanager
async def slow_clients(
    url: str, first: str, then: str, *, clients: int = CLIENTS, byte_s: float = BYTE_S
) -> AsyncGenerator[SlowClients]:
    command = [sys.executable, str(Path(__file__).with_name("slow_clients.py")), url, str(clients), str(byte_s)]
    async with await anyio.open_process([*command, first, then], stderr=None) as process:
        assert process.stdout is not None
        slow = SlowClients(process.stdout)
        await slow.connected()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(slow.read)
            yield slow


@pytest.mark.parametrize(
    ("first", "then", "status"),
    [
        pytest.param(HEAD, "X-Slow: " + "a" * 1_000, "", id="head"),
        pytest.param("", "", "", id="nothing"),
        pytest.param(HEAD + BODY, "a" * 1_000, "HTTP/1.1 504 ", id="body"),
    ],
)
async def test_two_hundred_slow_clients_are_closed_at_the_deadline_and_slow_nobody_down(
    server_process: Any, client: Any, first: str, then: str, status: str
) -> None:
    health_s: list[float] = []
    with server_process(limits_head_timeout_s=DEADLINE_S, limits_body_timeout_s=DEADLINE_S) as server:
        with anyio.fail_after(30):
            async with client(server.url) as caller:
                assert (await caller.get("/healthz")).status_code == 200
                async with slow_clients(server.url, first, then) as slow:
                    began_s = time.monotonic()
                    while not slow.all_closed.is_set():
                        asked_s = time.monotonic()
                        assert (await caller.get("/healthz")).status_code == 200
                        health_s.append(time.monotonic() - asked_s)
                        await anyio.sleep(ASK_EVERY_S)
        took_s = time.monotonic() - began_s
    assert len(slow.answers) == CLIENTS
    assert [answer for answer in slow.answers if not answer.startswith(status)] == []
    assert status or not any(slow.answers)
    health_s.sort()
    p99_s = health_s[int(0.99 * len(health_s))]
    print(f"closed after {took_s:.2f} s; health p99 {1_000 * p99_s:.0f} ms, most {1_000 * health_s[-1]:.0f} ms")
    assert p99_s < HEALTH_P99_S


async def test_a_later_request_on_a_connection_has_a_deadline_too_and_an_earlier_one_is_answered(serving: Any) -> None:
    settings = Settings(limits=LimitSettings(head_timeout_s=0.5))
    request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with serving(settings) as url:
        with anyio.fail_after(20):
            async with slow_clients(url, request + HEAD, "a" * 100, clients=1, byte_s=0.1) as slow:
                await slow.all_closed.wait()
    (answer,) = slow.answers
    assert answer.count("HTTP/1.1 200 OK") == 1


async def test_who_speaks_slowly_but_in_time_is_heard(serving: Any, client: Any) -> None:
    """The body of a microphone lasts for as long as somebody speaks: only its pieces have a deadline."""
    deadline_s, pieces = 1.0, 0

    async def microphone() -> Any:
        nonlocal pieces
        for _ in range(4):
            await anyio.sleep(deadline_s / 2)
            pieces += 1
            yield bytes(640)

    async with serving(Settings(limits=LimitSettings(body_timeout_s=deadline_s))) as url, client(url) as caller:
        session_id = (await caller.post("/v1/sessions", json={})).json()["session_id"]
        headers = {"Content-Type": "audio/pcm"}
        response = await caller.post(f"/v1/sessions/{session_id}/audio", content=microphone(), headers=headers)
    assert (response.status_code, response.json()) == (200, {"accepted_ms": 80})
    assert pieces == 4
