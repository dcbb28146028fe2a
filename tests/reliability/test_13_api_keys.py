"""Row 13: API keys are hashed at rest and compared in constant time; a revoked one is of no use within 5 s."""

from __future__ import annotations

import hmac
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from schemas.principal import Quotas, Scope

pytestmark = pytest.mark.anyio

REVOKED_WITHIN_S = 5.0


async def test_without_a_key_nothing_but_health_and_documentation_is_answered(
    serving: Any, keys: Any, client: Any
) -> None:
    headers = keys.headers("a", Scope.AUDIO)
    async with serving(keys.settings) as url, client(url) as anyone, client(url, headers) as known:
        for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
            assert (await anyone.get(path)).status_code in {200, 503}, path
        for path in (
            "/v1/models",
            "/v1/tools",
            "/v1/audio/voices",
            "/v1/sessions/x",
            "/v1/sessions/x/events",
            "/metrics",
        ):
            for wrong in ({}, {"Authorization": "Bearer antiphon_0123456789ab_x"}, {"Authorization": "Basic eDp5"}):
                refused = await anyone.get(path, headers=wrong)
                assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthenticated"), path
                assert refused.headers["www-authenticate"].startswith("Bearer")
        assert (await known.get("/v1/models")).status_code == 200
        for path in ("/v1/sessions/x", "/metrics"):
            refused = await known.get(path)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_scope"), path
            assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]


async def test_a_body_is_not_read_before_its_sender_is_known(open_asgi: Any, keys: Any) -> None:
    keys.headers("a")

    async def receive() -> dict[str, Any]:
        raise AssertionError

    assert await open_asgi(keys.settings, "/v1/tools/transcribe", "application/json", receive) == 401


async def test_a_websocket_takes_the_key_as_a_header_or_as_browsers_can_send_it(
    serving: Any, keys: Any, client: Any
) -> None:
    headers = keys.headers("a")
    key = headers["Authorization"].removeprefix("Bearer ")
    async with serving(keys.settings) as url, client(url, headers) as known:
        session_id = (await known.post("/v1/sessions", json={})).json()["session_id"]
        address = f"{url.replace('http', 'ws')}/v1/sessions/{session_id}/stream"
        async with connect(address, additional_headers=headers) as socket:
            assert "session.opened" in str(await socket.recv())
        async with connect(address, subprotocols=["antiphon.v1", f"antiphon.bearer.{key}"]) as socket:  # type: ignore[list-item]
            assert socket.subprotocol == "antiphon.v1"
            assert "session.opened" in str(await socket.recv())
        for options in ({}, {"subprotocols": ["antiphon.v1", "antiphon.bearer.nonsense"]}):
            with pytest.raises(InvalidStatus) as caught:
                async with connect(address, **options):  # type: ignore[arg-type]
                    pass
            assert caught.value.response.status_code == 401
            assert caught.value.response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_revoked_key_lets_nobody_in_and_ends_its_streams(serving: Any, keys: Any, client: Any) -> None:
    headers, others = keys.headers("a"), keys.headers("b")
    async with serving(keys.settings) as url, client(url, headers) as known, client(url, others) as other:
        session_id = (await known.post("/v1/sessions", json={})).json()["session_id"]
        address = f"{url.replace('http', 'ws')}/v1/sessions/{session_id}/stream"
        async with connect(address, additional_headers=headers) as socket:
            assert "session.opened" in str(await socket.recv())
            keys.file.revoke(keys.file.read()[0].id)
            with anyio.fail_after(REVOKED_WITHIN_S):
                with pytest.raises(ConnectionClosed) as caught:
                    await socket.recv()
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 4401
                assert (await known.get("/v1/models")).status_code == 401
        assert (await other.get("/v1/models")).status_code == 200


def test_a_key_is_shown_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "server", "keys", "--keys-file", str(path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    key = run("create", "phone menu", "--tenant", "acme", "--sessions", "3").stdout.strip()
    assert key.startswith("antiphon_")
    secret = key.split("_", 2)[2]
    listed = run("list", "--json").stdout
    assert '"phone menu"' in listed
    assert '"sessions":3' in listed
    for text in (listed, path.read_text()):
        assert secret not in text
    assert run("revoke", key.split("_")[1]).returncode == 0
    assert '"revoked_at":"' in run("list", "--json").stdout
    assert "antiphon keys list" in run("revoke", "0" * 12).stderr


def test_secrets_are_compared_in_constant_time(keys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from server.auth.keys import KeyRing  # noqa: PLC0415

    compared: list[tuple[str, str]] = []

    def compare(a: str, b: str) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare)
    key, record = keys.file.create(name="", tenant="a", scopes=[Scope.AUDIO], quotas=Quotas())
    ring = KeyRing(keys.file.read(), Quotas())
    assert ring.principal(key) is not None
    assert ring.principal(f"antiphon_{'0' * 12}_x") is None
    # Also for a key that there is not, and always hashes of one length.
    assert len(compared) == 2
    assert {len(text) for pair in compared for text in pair} == {64}
    assert record.sha256 in compared[0]
