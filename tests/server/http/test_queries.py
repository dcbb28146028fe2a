"""Query parameters that an operation does not have."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("method", "path", "known"),
    [
        ("POST", "/v1/sessions", "it has none"),
        ("GET", "/v1/sessions/ses_1", "it has none"),
        ("GET", "/v1/sessions/ses_1/events", "there are: after, audio"),
        ("GET", "/v1/tools", "there are: format"),
        ("POST", "/v1/tools/synthesize", "it has none"),
        ("POST", "/v1/audio/speech", "it has none"),
        ("GET", "/v1/models", "it has none"),
    ],
)
async def test_one_that_is_unknown_is_refused_by_its_name(
    live: httpx.AsyncClient, method: str, path: str, known: str
) -> None:
    response = await live.request(method, path, params={"fromat": "openai"}, json={} if method == "POST" else None)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "invalid_request", "fromat")
    assert known in error["message"]


@pytest.mark.parametrize("path", ["/healthz", "/openapi.json", "/docs"])
async def test_what_is_there_for_everyone_takes_whatever_comes(live: httpx.AsyncClient, path: str) -> None:
    assert (await live.get(path, params={"_": "1"})).status_code == 200


async def test_a_stream_has_one_parameter(live: httpx.AsyncClient) -> None:
    session_id = (await live.post("/v1/sessions", json={})).json()["session_id"]
    url: Any = str(live.base_url).replace("http", "ws").rstrip("/")
    async with connect(f"{url}/v1/sessions/{session_id}/stream?after=0&form=1") as socket:
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4400
    assert "form is no query parameter" in caught.value.rcvd.reason
