"""Row 9: slow heads and slow bodies are closed at the deadline, and disturb nobody."""

from __future__ import annotations

import time
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from server.settings import LimitSettings, Settings

pytestmark = pytest.mark.anyio

CLIENTS = 200
DEADLINE_S = 1.5
SETTINGS = Settings(limits=LimitSettings(head_timeout_s=DEADLINE_S, body_timeout_s=DEADLINE_S))
HEAD = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\n"
BODY = b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n--b\r\n"
BYTE_S = 0.25


async def until_closed(url: str, first: bytes, then: bytes) -> bytes:
    """What the server says to a client that sends one byte after the other, until it closes."""
    host, _, port = url.removeprefix("http://").partition(":")
    answer = bytearray()
    stream: SocketStream = await anyio.connect_tcp(host, int(port))
    async with stream, anyio.create_task_group() as tasks:

        async def drip() -> None:
            try:
                for byte in then:
                    await anyio.sleep(BYTE_S)
                    await stream.send(bytes([byte]))
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass

        if first:
            await stream.send(first)
        tasks.start_soon(drip)
        try:
            while True:
                answer += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            tasks.cancel_scope.cancel()
    return bytes(answer)


@pytest.mark.parametrize(
    ("first", "then", "status"),
    [
        pytest.param(HEAD, b"X-Slow: " + b"a" * 1_000, b"", id="head"),
        pytest.param(b"", b"", b"", id="nothing"),
        pytest.param(HEAD + BODY, b"a" * 1_000, b"HTTP/1.1 504 ", id="body"),
    ],
)
async def test_two_hundred_slow_clients_are_closed_at_the_deadline_and_slow_nobody_down(
    serving: Any, client: Any, first: bytes, then: bytes, status: bytes
) -> None:
    answers: list[bytes] = []
    async with serving(SETTINGS) as url, client(url) as caller:
        began_s = time.monotonic()
        health_s: list[float] = []
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:

                async def one() -> None:
                    answers.append(await until_closed(url, first, then))

                for _ in range(CLIENTS):
                    tasks.start_soon(one)
                while len(answers) < CLIENTS:
                    asked_s = time.monotonic()
                    assert (await caller.get("/healthz")).status_code == 200
                    health_s.append(time.monotonic() - asked_s)
                    await anyio.sleep(0.02)
        took_s = time.monotonic() - began_s
    assert [answer for answer in answers if not answer.startswith(status)] == []
    assert status or not any(answers)
    assert took_s >= DEADLINE_S
    health_s.sort()
    print(f"closed after {took_s:.2f} s; health p99 {1_000 * health_s[int(0.99 * len(health_s))]:.0f} ms")


async def test_a_later_request_on_a_connection_has_a_deadline_too_and_an_earlier_one_is_answered(serving: Any) -> None:
    async with serving(SETTINGS) as url:
        with anyio.fail_after(10):
            answer = await until_closed(url, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + HEAD, b"a" * 100)
    assert answer.count(b"HTTP/1.1 200 OK") == 1


async def test_who_speaks_slowly_but_in_time_is_heard(serving: Any, client: Any) -> None:
    """The body of a microphone lasts for as long as somebody speaks: only its pieces have a deadline."""
    pieces = 0

    async def microphone() -> Any:
        nonlocal pieces
        for _ in range(4):
            await anyio.sleep(DEADLINE_S / 2)
            pieces += 1
            yield bytes(640)

    async with serving(SETTINGS) as url, client(url) as caller:
        session_id = (await caller.post("/v1/sessions", json={})).json()["session_id"]
        headers = {"Content-Type": "audio/pcm"}
        response = await caller.post(f"/v1/sessions/{session_id}/audio", content=microphone(), headers=headers)
    assert (response.status_code, response.json()) == (200, {"accepted_ms": 80})
    assert pieces == 4
