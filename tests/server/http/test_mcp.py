"""``/mcp``: what HTTP adds to the protocol."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import httpx
import pytest
from anyio import to_thread
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from engines.fake import FakeBehaviour
from server.mcp import endpoint
from server.settings import AuthSettings, LimitSettings, ModelSettings, ServerSettings, Settings

pytestmark = pytest.mark.anyio

Listening = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
OpenClient = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]

BOTH_REVISIONS = pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])

META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
HEADERS = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28"}


def agent(http: httpx.AsyncClient, mode: str) -> Client:
    return Client(streamable_http_client(str(http.base_url).rstrip("/") + "/mcp"), mode=mode)


async def call(client: httpx.AsyncClient, method: str, **headers: str) -> httpx.Response:
    return await client.post(
        "/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": META}},
        headers={**HEADERS, "Mcp-Method": method, **headers},
    )


@BOTH_REVISIONS
async def test_the_official_client_calls_tools(live: httpx.AsyncClient, mode: str) -> None:
    with anyio.fail_after(20):
        async with agent(live, mode) as client:
            assert client.protocol_version == ("2025-11-25" if mode == "legacy" else mode)
            result = await client.call_tool("list_voices", {})
    assert result.structured_content["default"] == "fake-alto"


@BOTH_REVISIONS
async def test_progress_arrives_while_the_tool_works(live: httpx.AsyncClient, user: Any, mode: str) -> None:
    told: list[str | None] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001
        told.append(message)

    async with agent(live, mode) as client:
        opened = await client.call_tool("open_session", {})
        session_id = opened.structured_content["session_id"]
        results: list[Any] = []

        async def listen() -> None:
            results.append(await client.call_tool("listen", {"session_id": session_id}, progress_callback=on_progress))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen)
                await live.post(
                    f"/v1/sessions/{session_id}/audio",
                    content=user.turn("What time is it?"),
                    headers={"Content-Type": "audio/pcm"},
                )
    assert results[0].structured_content["turn"]["text"] == "What time is it?"
    assert set(told) >= {"The user is speaking."}


@BOTH_REVISIONS
async def test_cancelling_a_call_stops_the_engine(listening: Listening, mode: str) -> None:
    behaviour = FakeBehaviour()
    behaviour.hang()
    with anyio.fail_after(20):
        async with listening(behaviour=behaviour) as http, agent(http, mode) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.call_tool, "synthesize", {"text": "Nobody wants to hear this."})
                await to_thread.run_sync(behaviour.called.wait)
                tasks.cancel_scope.cancel()
            await to_thread.run_sync(behaviour.cancelled.wait)
            behaviour.go_on()
            assert not (await client.call_tool("synthesize", {"text": "This is."})).is_error


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8080", "Origin": "http://localhost:3000"}, 200),
        ({"Host": "192.168.1.7:8080", "Origin": "http://192.168.1.7:8080"}, 200),
        ({"Host": "speech.example"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "192.168.1.7:8080", "Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_foreign_hosts_and_pages_stay_outside_whatever_the_address(
    open_client: OpenClient, headers: dict[str, str], status: int, host: str
) -> None:
    settings = Settings(
        server=ServerSettings(host=host, allowed_hosts=("speech.example",)),
        auth=AuthSettings(mode="off"),
        models=ModelSettings(warm=False),
    )
    async with open_client(settings) as client:
        assert (await call(client, "tools/list", **headers)).status_code == status


async def test_a_body_that_is_too_large_is_refused(open_client: OpenClient) -> None:
    settings = Settings(models=ModelSettings(warm=False), limits=LimitSettings(max_body_bytes=1_000))

    async def unannounced() -> AsyncGenerator[bytes]:
        for _ in range(3):
            yield bytes(500)

    async with open_client(settings) as client:
        assert (await call(client, "tools/list")).status_code == 200
        for revision in ("2026-07-28", "2025-11-25"):
            for body in (bytes(1_001), unannounced()):
                headers = {**HEADERS, "MCP-Protocol-Version": revision}
                refused = await client.post("/mcp", content=body, headers=headers)
                assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")
                assert "1000 bytes" in refused.json()["error"]["message"]


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
async def test_a_body_of_too_many_elements_is_refused_before_it_is_parsed(
    open_client: OpenClient, revision: str
) -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        yield b"["
        for _ in range(11):
            yield b"{}," * 10_000  # none of which has too many of its own

    async with open_client() as client:
        headers = {**HEADERS, "MCP-Protocol-Version": revision}
        response = await client.post("/mcp", content=pieces(), headers=headers)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_request"
    assert "more than 100000 elements" in response.json()["error"]["message"]


async def test_what_the_protocol_parses_at_once_has_a_limit_of_its_own() -> None:
    assert LimitSettings().max_body_bytes > endpoint.MAX_BODY_BYTES


async def test_requests_are_counted_and_logged_by_their_route(live: httpx.AsyncClient) -> None:
    assert (await call(live, "tools/list")).headers["x-request-id"]
    metrics = (await live.get("/metrics")).text
    assert 'route="/mcp"' in metrics


async def test_a_websocket_is_refused(live: httpx.AsyncClient) -> None:
    with capture_logs() as logs, pytest.raises(InvalidStatus) as caught:
        async with connect(f"{str(live.base_url).replace('http', 'ws').rstrip('/')}/mcp"):
            pass
    assert caught.value.response.status_code == 403
    assert [log["status"] for log in logs if log["event"] == "request"] == [1008]


async def test_only_the_path_itself_is_the_protocol(live: httpx.AsyncClient) -> None:
    response = await live.post("/mcp/other", content=json.dumps({}))
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"
