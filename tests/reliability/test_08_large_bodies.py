"""Row 8: a body that is too large is refused before the limit and 64 kB more of it are read."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import httpx
import pytest
from anyio.abc import SocketStream
from msgspec.structs import replace

from schemas.validation import MAX_COMMAS
from server.http.bodies import MAX_JSON_BYTES
from server.settings import LimitSettings, Settings

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}
LIMIT_BYTES = 1_000_000
MARGIN_BYTES = 65_536
IN_FLIGHT_BYTES = 8_000_000
"""What the sockets of both sides may hold, read by nobody."""
WAYS_IN = {
    "/v1/audio/transcriptions": "multipart/form-data; boundary=b",
    "/v1/audio/speech": "application/json",
    "/v1/tools/transcribe": "application/json",
    "/v1/sessions": "application/json",
    "/v1/sessions/{id}/audio": "audio/wav",
}


@pytest.fixture
async def url(serving: Any) -> AsyncGenerator[str]:
    async with serving(Settings(limits=LimitSettings(max_body_bytes=LIMIT_BYTES))) as url:
        yield url


async def send_until_answered(url: str, path: str, content_type: str, *, chunked: bool) -> tuple[bytes, int]:
    """The answer to a body without end, and how much of it the sockets took until then."""
    host, _, port = url.removeprefix("http://").partition(":")
    size = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {10**9}"
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\n{size}\r\n\r\n".encode()
    piece = b"a" * 16_384
    if chunked:
        piece = b"4000\r\n" + piece + b"\r\n"
    answer, sent_bytes = bytearray(), 0
    with anyio.fail_after(10):
        stream: SocketStream = await anyio.connect_tcp(host, int(port))
        async with stream, anyio.create_task_group() as tasks:

            async def send() -> None:
                nonlocal sent_bytes
                try:
                    while True:
                        await stream.send(piece)
                        sent_bytes += len(piece)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    pass

            await stream.send(head)
            tasks.start_soon(send)
            try:
                while b"}}" not in answer:
                    answer += await stream.receive()
            finally:
                tasks.cancel_scope.cancel()
    return bytes(answer), sent_bytes


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", WAYS_IN)
async def test_a_body_without_end_is_413_on_every_way_in(url: str, client: Any, path: str, *, chunked: bool) -> None:
    async with client(url) as caller:
        session_id = (await caller.post("/v1/sessions", json={})).json()["session_id"]
    answer, sent_bytes = await send_until_answered(
        url, path.replace("{id}", session_id), WAYS_IN[path], chunked=chunked
    )
    assert answer.startswith(b"HTTP/1.1 413 "), answer
    assert b'"code":"body_too_large"' in answer
    assert sent_bytes <= LIMIT_BYTES + MARGIN_BYTES + IN_FLIGHT_BYTES


async def test_of_a_body_that_is_too_large_no_more_than_the_limit_is_taken(open_asgi: Any) -> None:
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += MARGIN_BYTES
        return {"type": "http.request", "body": b"a" * MARGIN_BYTES, "more_body": True}

    settings = Settings(limits=LimitSettings(max_body_bytes=LIMIT_BYTES))
    for content_type in ("application/json", "multipart/form-data; boundary=b"):
        taken = 0
        path = "/v1/audio/speech" if content_type.endswith("json") else "/v1/audio/transcriptions"
        status = await open_asgi(settings, path, content_type, receive)
        assert status == 413
        assert LIMIT_BYTES < taken <= LIMIT_BYTES + MARGIN_BYTES


async def test_bodies_together_take_no_more_than_there_is_memory_for(serving: Any, client: Any) -> None:
    settings = Settings(limits=LimitSettings(max_body_bytes=LIMIT_BYTES, max_bodies_bytes=2 * LIMIT_BYTES))
    size_bytes = 900_000
    arrived, go_on = [anyio.Event() for _ in range(2)], anyio.Event()

    async def slow(number: int) -> AsyncGenerator[bytes]:
        yield b"{"
        arrived[number].set()
        await go_on.wait()
        yield b" " * (size_bytes - 2) + b"}"

    headers = {"Content-Type": "application/json", "Content-Length": str(size_bytes)}
    statuses: list[int] = []
    async with serving(settings) as url, client(url) as caller:

        async def post(body: Any) -> httpx.Response:
            response: httpx.Response = await caller.post("/v1/sessions", content=body, headers=headers)
            statuses.append(response.status_code)
            return response

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                for number in range(2):
                    tasks.start_soon(post, slow(number))
                for event in arrived:
                    await event.wait()
                # Their first pieces may be on the way still, but what they announced is set aside once they are read.
                while (refused := await post(b" " * (size_bytes - 2) + b"{}")).status_code == 201:
                    pass
                assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
                assert refused.headers["retry-after"]
                assert (await caller.get("/v1/models")).status_code == 200
                go_on.set()
        assert statuses.count(201) >= 2
        assert (await post(b" " * (size_bytes - 2) + b"{}")).status_code == 201  # all of it was given back


async def test_where_a_body_is_of_no_use_none_is_provided_for(serving: Any, client: Any) -> None:
    limits = LimitSettings(max_body_bytes=LIMIT_BYTES, max_bodies_bytes=LIMIT_BYTES)
    async with serving(Settings(limits=limits)) as url, client(url) as caller:
        session_id = (await caller.post("/v1/sessions", json={})).json()["session_id"]
        host, _, port = url.removeprefix("http://").partition(":")
        route = f"GET /v1/sessions/{session_id}/events HTTP/1.1"
        head = f"{route}\r\nHost: {host}\r\nContent-Length: {LIMIT_BYTES}\r\n\r\n"
        with anyio.fail_after(10):
            async with await anyio.connect_tcp(host, int(port)) as stream:
                await stream.send(head.encode())
                # As the stream begins it asks for the next piece, to learn when the client goes.
                answer = b""
                while b"event: " not in answer:
                    answer += await stream.receive()
                large = await caller.post("/v1/sessions", content=b" " * (LIMIT_BYTES - 2) + b"{}", headers=JSON)
    assert large.status_code == 201


async def test_idle_uploads_of_one_tenant_leave_room_for_those_of_others(serving: Any, keys: Any, client: Any) -> None:
    limits = LimitSettings(max_body_bytes=LIMIT_BYTES, max_bodies_bytes=4 * LIMIT_BYTES)
    a, again_a, b = keys.headers("a"), keys.headers("a"), keys.headers("b")
    answers: list[bytes] = []
    two_refused = anyio.Event()

    async def upload_nothing(url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        head = {"Host": host, **a, **JSON, "Content-Length": str(LIMIT_BYTES)}
        lines = ["POST /v1/audio/speech HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", "{"]
        async with await anyio.connect_tcp(host, int(port)) as stream:
            await stream.send("\r\n".join(lines).encode())
            answers.append(await stream.receive())
            if len(answers) == 2:
                two_refused.set()

    async with serving(replace(keys.settings, limits=limits)) as url, client(url, JSON) as caller:
        body = b" " * (LIMIT_BYTES - 2) + b"{}"
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                for _ in range(4):
                    tasks.start_soon(upload_nothing, url)
                await two_refused.wait()
                assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
                statuses = [
                    (await caller.post("/v1/audio/speech", content=body, headers=key)).status_code
                    for key in (again_a, b)
                ]
                assert statuses == [503, 400]  # the body of the other is taken, and has no sense
                tasks.cancel_scope.cancel()


async def test_json_of_millions_of_elements_is_refused_without_decoding_it(serving: Any, client: Any) -> None:
    body = b'{"audio": "", "hotwords": [' + b'"a",' * (MAX_COMMAS + 1) + b'"a"]}'
    async with serving() as url, client(url) as caller:
        for path in ("/v1/tools/transcribe", "/v1/sessions"):
            refused = await caller.post(path, content=body, headers={"Content-Type": "application/json"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
            assert "elements" in refused.json()["error"]["message"]
        refused = await caller.post("/v1/tools/transcribe", json={"audio": "A" * (MAX_JSON_BYTES + 4)})
        assert refused.status_code == 413


async def test_a_body_of_two_lengths_is_refused_and_what_follows_it_is_no_request(url: str) -> None:
    """A proxy before the server may take the other length, and what follows for a part of the body."""
    host, _, port = url.removeprefix("http://").partition(":")
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n"
    with anyio.fail_after(10):
        async with await anyio.connect_tcp(host, int(port)) as stream:
            await stream.send(head + b"0\r\n\r\n" + smuggled)
            answer = b"".join([piece async for piece in stream])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"not both" in answer


async def test_a_form_of_too_many_parts_is_told_what_is_wrong(url: str, client: Any) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\nx\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    async with client(url) as caller:
        refused = await caller.post("/v1/audio/transcriptions", content=part * 2_000 + b"--b--\r\n", headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")
    assert "parts" in refused.json()["error"]["message"]
