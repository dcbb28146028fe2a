"""Row 11: foreign ``Host`` and ``Origin`` are 403 on every surface, also where the server listens on all addresses."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from msgspec.structs import replace
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from server.settings import ServerSettings, Settings

pytestmark = pytest.mark.anyio

OWN_HOSTS = ("127.0.0.1", "localhost", "speech.example")
FOREIGN_HOSTS = ("evil.example", "127.0.0.1.evil.example", "speech.example.evil.example")
OWN_ORIGINS = (None, "http://localhost:3000", "https://speech.example")
FOREIGN_ORIGINS = ("https://evil.example", "null", "http://speech.example.evil.example")
SURFACES = (
    ("GET", "/healthz"),
    ("GET", "/docs"),
    ("GET", "/v1/models"),
    ("POST", "/v1/audio/speech"),
    ("POST", "/v1/tools/list_voices"),
    ("GET", "/v1/sessions/x/events"),
    ("POST", "/mcp"),
    ("GET", "/.well-known/oauth-protected-resource"),
    ("OPTIONS", "/v1/audio/speech"),
    ("GET", "/nowhere"),
)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
async def test_foreign_names_are_refused_on_every_surface(serving: Any, keys: Any, client: Any, address: str) -> None:
    headers = keys.headers("a")
    listening = ServerSettings(host=address, allowed_hosts=("speech.example",))
    settings = replace(keys.settings, server=listening)
    combinations = [*product(FOREIGN_HOSTS, OWN_ORIGINS), *product(OWN_HOSTS, FOREIGN_ORIGINS)]
    async with serving(settings, address=address) as url, client(url, headers) as known:
        for (method, path), (host, origin) in product(SURFACES, combinations):
            given = {"Host": host} | ({} if origin is None else {"Origin": origin})
            refused = await known.request(method, path, headers=given)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden"), (path, given)
            assert "access-control-allow-origin" not in refused.headers
        for (method, path), host, origin in product(SURFACES, OWN_HOSTS, OWN_ORIGINS):
            given = {"Host": host} | ({} if origin is None else {"Origin": origin})
            answer = await known.request(method, path, headers=given)
            assert answer.status_code != 403, (path, given)

        session_id = (await known.post("/v1/sessions", json={})).json()["session_id"]
        address_of_stream = f"{url.replace('http', 'ws')}/v1/sessions/{session_id}/stream"
        for origin in FOREIGN_ORIGINS:
            with pytest.raises(InvalidStatus) as caught:
                async with connect(address_of_stream, additional_headers={**headers, "Origin": origin}):
                    pass
            assert caught.value.response.status_code == 403
        async with connect(
            address_of_stream, additional_headers={**headers, "Origin": "http://localhost:3000"}
        ) as socket:
            assert "session.opened" in str(await socket.recv())


async def test_each_of_several_origins_must_be_one_that_may(serving: Any, client: Any) -> None:
    async with serving() as url, client(url) as caller:
        for origins in (["http://localhost", "http://evil.example"], ["http://evil.example", "http://localhost"]):
            answer = await caller.get("/v1/models", headers=[("Origin", origin) for origin in origins])
            assert answer.status_code == 403


async def test_a_page_that_may_use_the_server_is_told_so_by_its_browser_rules(serving: Any, client: Any) -> None:
    settings = Settings(server=ServerSettings(allowed_hosts=("app.example",)))
    origin = {"Origin": "https://app.example"}
    async with serving(settings) as url, client(url, origin) as page:
        asked = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type",
        }
        preflight = await page.options("/v1/audio/speech", headers=asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] in {"*", origin["Origin"]}
        allowed = preflight.headers["access-control-allow-headers"].lower()
        assert {"authorization", "content-type", "idempotency-key", "last-event-id"} <= set(allowed.split(", "))
        assert "DELETE" in preflight.headers["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in preflight.headers
        for path in ("/v1/models", "/v1/sessions/none", "/nowhere"):
            answer = await page.get(path)
            assert answer.headers["access-control-allow-origin"] in {"*", origin["Origin"]}, path
            assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()
            assert "retry-after" in answer.headers["access-control-expose-headers"].lower()
