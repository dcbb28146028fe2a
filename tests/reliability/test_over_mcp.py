"""Rows 13, 14 and 15 for ``/mcp``: keys, tenants and quotas hold there as on every other path."""

from __future__ import annotations

import json
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from anyio import to_thread
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from engines.fake import FakeBehaviour
from schemas.principal import Quotas, Scope
from server.mcp import endpoint
from server.mcp.tools import ERROR_KEY

pytestmark = pytest.mark.anyio

NO_SESSION = "ses_AAAAAAAAAAAAAAAAAAAAAA"
BOTH_REVISIONS = pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
REVOKED_WITHIN_S = 5.0
DRAIN_S = 60.0
META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "progressToken": 1,  # so that the response begins at once
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


def message(method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


async def initialize(client: httpx.AsyncClient) -> httpx.Response:
    """Opens a connection of 2025-11-25."""
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    return await client.post("/mcp", json=message("initialize", params), headers=ACCEPT)


async def connected(client: httpx.AsyncClient) -> dict[str, str]:
    """The headers of a connection of 2025-11-25."""
    connection = (await initialize(client)).headers["mcp-session-id"]
    headers = {**ACCEPT, "Mcp-Session-Id": connection, "MCP-Protocol-Version": "2025-11-25"}
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert (await client.post("/mcp", json=ready, headers=headers)).status_code == 202
    return headers


async def finished(client: httpx.AsyncClient) -> float:
    """How many requests to ``/mcp`` are over."""
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if "requests_total" in line and 'route="/mcp"' in line)


async def results(stream: httpx.Response) -> list[dict[str, Any]]:
    """What a stream of server-sent events holds, until the server ends it."""
    with anyio.fail_after(DRAIN_S / 2):
        lines = [line async for line in stream.aiter_lines()]
    sent = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    return [answer["result"] for answer in sent if "result" in answer]


def check_refusal(response: httpx.Response, status: int, code: str) -> None:
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["retryable"]) == (status, code, True), error
    assert float(response.headers["retry-after"]) >= error["retry_after_s"] > 0


async def leave_a_call(client: httpx.AsyncClient, behaviour: FakeBehaviour) -> None:
    """Calls a tool over 2025-11-25, and goes away while the engine works."""
    behaviour.hang()
    headers = await connected(client)
    call = message("tools/call", {"name": "synthesize", "arguments": {"text": "Nobody waits for this."}})
    async with client.stream("POST", "/mcp", json=call, headers=headers):
        await to_thread.run_sync(behaviour.called.wait)


def agent(http: httpx2.AsyncClient, url: str, mode: str) -> Client:
    return Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode)


async def code_of(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.meta is not None
    return result.meta[ERROR_KEY]["code"]


async def test_without_a_valid_key_nothing_is_answered(serving: Any, keys: Any, client: Any) -> None:
    keys.headers("a")
    async with serving(keys.settings) as url:
        for wrong in ({}, {"Authorization": "Bearer antiphon_0123456789ab_x"}):
            async with client(url, wrong) as anyone:
                refused = await initialize(anyone)
                assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthenticated")
                assert refused.headers["www-authenticate"].startswith("Bearer")


@BOTH_REVISIONS
async def test_a_key_without_the_scope_is_told_so(serving: Any, keys: Any, mode: str) -> None:
    headers = keys.headers("a", Scope.SESSIONS)
    async with serving(keys.settings) as url, httpx2.AsyncClient(headers=headers) as http, agent(http, url, mode) as a:
        assert await code_of(a, "synthesize", text="Hello.") == "insufficient_scope"
        with pytest.raises(MCPError) as caught:
            await a.read_resource("antiphon://voices")
        assert caught.value.error.data["code"] == "insufficient_scope"
        assert not (await a.call_tool("open_session", {})).is_error


@BOTH_REVISIONS
@pytest.mark.parametrize("tenant", ["a", "b"])
async def test_what_is_another_principals_looks_unknown(serving: Any, keys: Any, mode: str, tenant: str) -> None:
    """A session is its principal's: the key of another tenant finds none, and neither does another key of the same."""
    a, b = keys.headers("a"), keys.headers(tenant)
    async with (
        serving(keys.settings) as url,
        httpx2.AsyncClient(headers=a) as http_a,
        httpx2.AsyncClient(headers=b) as http_b,
        agent(http_a, url, mode) as ours,
        agent(http_b, url, mode) as theirs,
    ):
        session_id = (await ours.call_tool("open_session", {})).structured_content["session_id"]
        audio_id = (await ours.call_tool("synthesize", {"text": "Ours."})).structured_content["audio_id"]
        for tool in ("listen", "say", "stop_speaking", "get_conversation", "close_session"):
            words = {"text": "Hello."} if tool == "say" else {}
            answers = [
                (await theirs.call_tool(tool, {"session_id": asked, **words})).model_dump_json().replace(asked, "ID")
                for asked in (session_id, NO_SESSION)
            ]
            assert answers[0] == answers[1]
            assert "unknown_session" in answers[0]
        for uri, known, unknown in (
            ("antiphon://sessions/{}/conversation", session_id, NO_SESSION),
            ("antiphon://sessions/{}/latency", session_id, NO_SESSION),
            ("antiphon://sessions/{}/audio/item_1", session_id, NO_SESSION),
            ("antiphon://audio/{}", audio_id, "aud_AAAAAAAAAAAAAAAAAAAAAA"),
        )[: 3 if tenant == "a" else 4]:
            errors: list[str] = []
            for asked in (known, unknown):
                with pytest.raises(MCPError) as caught:
                    await theirs.read_resource(uri.format(asked))
                errors.append(caught.value.error.model_dump_json().replace(asked, "ID"))
            assert errors[0] == errors[1]
        assert (await ours.read_resource(f"antiphon://audio/{audio_id}")).contents
        # Programs of the tenant share it over HTTP.
        over_http = await http_b.get(f"{url}/v1/sessions/{session_id}")
        assert over_http.status_code == (200 if tenant == "a" else 404)
        assert not (await ours.call_tool("get_conversation", {"session_id": session_id})).is_error


async def test_a_connection_of_another_principal_looks_unknown(serving: Any, keys: Any, client: Any) -> None:
    a, same_tenant, b = keys.headers("a"), keys.headers("a"), keys.headers("b")
    async with serving(keys.settings) as url, client(url, a) as ours:
        headers = await connected(ours)
        for foreign in (same_tenant, b):
            async with client(url, foreign) as theirs:
                stolen, unknown = [
                    await theirs.post("/mcp", json=message("tools/list", {}), headers=sent)
                    for sent in (headers, {**headers, "Mcp-Session-Id": "0" * 32})
                ]
                assert (stolen.status_code, stolen.text) == (unknown.status_code, unknown.text)
                assert stolen.status_code == 404
                assert (await theirs.delete("/mcp", headers=headers)).status_code == 404
        assert (await ours.post("/mcp", json=message("tools/list", {}), headers=headers)).status_code == 200


async def test_one_key_cannot_take_all_connections(
    serving: Any, keys: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(endpoint, "MAX_CONNECTIONS_EACH", 2)
    a, b, again = keys.headers("a"), keys.headers("b"), keys.headers("a")
    async with serving(keys.settings) as url, client(url, a) as one, client(url, b) as other, client(url, again) as two:
        first = await connected(one)
        await connected(one)
        check_refusal(await initialize(one), 429, "quota_exceeded")
        assert (await one.post("/mcp", json=message("ping", {}), headers=first)).status_code == 200
        await connected(other)
        check_refusal(await initialize(two), 503, "overloaded")
        assert (await one.delete("/mcp", headers=first)).status_code == 200
        await connected(two)


async def test_a_call_that_its_client_left_counts_until_it_ends(serving: Any, keys: Any, client: Any) -> None:
    a, b = keys.headers("a", quotas=Quotas(concurrent_requests=1)), keys.headers("b")
    behaviour = FakeBehaviour()
    async with serving(keys.settings, behaviour=behaviour) as url, client(url, a) as limited, client(url, b) as other:
        with anyio.fail_after(10):
            await leave_a_call(limited, behaviour)
            while await finished(other) < 3:
                pass  # the server has yet to notice that the client is gone
            check_refusal(await limited.get("/v1/models"), 429, "quota_exceeded")
            behaviour.go_on()
            while (await limited.get("/v1/models")).status_code == 429:
                pass


async def test_a_call_that_its_client_left_ends_when_the_key_is_revoked(serving: Any, keys: Any, client: Any) -> None:
    headers = keys.headers("a")
    keys.headers("b")
    behaviour = FakeBehaviour()
    async with serving(keys.settings, behaviour=behaviour) as url, client(url, headers) as known:
        await leave_a_call(known, behaviour)
        keys.file.revoke(keys.file.read()[0].id)
        with anyio.fail_after(REVOKED_WITHIN_S):
            await to_thread.run_sync(behaviour.cancelled.wait, abandon_on_cancel=True)
        behaviour.go_on()


async def test_a_server_that_stops_lets_go_of_a_stream_that_an_older_client_keeps_open(
    server_process: Any, client: Any
) -> None:
    with server_process(server_drain_s=DRAIN_S) as server:
        async with client(server.url) as agent:
            headers = await connected(agent)
            async with agent.stream("GET", "/mcp", headers=headers) as stream:
                assert stream.status_code == 200
                server.process.terminate()
                assert await results(stream) == []
        with anyio.fail_after(DRAIN_S / 2):
            assert await to_thread.run_sync(server.ended, abandon_on_cancel=True) == 0


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
async def test_a_server_that_stops_answers_the_calls_that_wait(server_process: Any, client: Any, revision: str) -> None:
    with server_process(server_drain_s=DRAIN_S) as server:
        async with client(server.url) as agent:
            session_id = (await agent.post("/v1/sessions", json={})).json()["session_id"]
            call = message("tools/call", {"name": "listen", "arguments": {"session_id": session_id, "timeout_s": 60}})
            if revision == "2025-11-25":
                headers = await connected(agent)
            else:
                call["params"]["_meta"] = META
                headers = {**ACCEPT, "MCP-Protocol-Version": revision, "Mcp-Method": "tools/call", "Mcp-Name": "listen"}
            async with agent.stream("POST", "/mcp", json=call, headers=headers) as stream:
                assert stream.status_code == 200
                server.process.terminate()
                (result,) = await results(stream)
        assert result["structuredContent"]["status"] == "closed"
        with anyio.fail_after(DRAIN_S / 2):
            assert await to_thread.run_sync(server.ended, abandon_on_cancel=True) == 0


async def test_a_server_that_stops_finishes_a_call_of_an_older_client(server_process: Any, client: Any) -> None:
    text = "9" * 1_500  # spoken digit by digit, which takes seconds
    with server_process(server_drain_s=DRAIN_S) as server:
        async with client(server.url) as agent:
            headers = await connected(agent)
            call = message("tools/call", {"name": "synthesize", "arguments": {"text": text}})
            async with agent.stream("POST", "/mcp", json=call, headers=headers) as stream:
                server.process.terminate()
                (result,) = await results(stream)
        assert result["structuredContent"]["duration_s"] > 100
        assert await to_thread.run_sync(server.ended) == 0
