"""Rows 13, 14 and 15 for ``/mcp``: keys, tenants and quotas hold there as on every other path."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest
from anyio import to_thread

from engines.fake import FakeBehaviour
from schemas.principal import Quotas
from server.mcp import endpoint

pytestmark = pytest.mark.anyio

REVOKED_WITHIN_S = 5.0
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
