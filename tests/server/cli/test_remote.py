from __future__ import annotations

import pytest

from server.cli.remote import KEY_ENV, remote_server

pytestmark = pytest.mark.anyio


async def test_commands_send_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_ENV, "antiphon_key")
    async with remote_server("http://127.0.0.1:1") as client:
        assert client.headers["authorization"] == "Bearer antiphon_key"
    monkeypatch.delenv(KEY_ENV)
    async with remote_server("http://127.0.0.1:1") as client:
        assert "authorization" not in client.headers
