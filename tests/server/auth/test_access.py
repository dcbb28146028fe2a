from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from structlog.testing import capture_logs

from schemas.errors import ErrorCode, SpeechError
from schemas.principal import LOCAL, Quotas, Scope
from server.auth.access import Access, is_required
from server.auth.keys import KeyFile
from server.settings import AuthSettings, ServerSettings, Settings

pytestmark = pytest.mark.anyio

Mode = Literal["auto", "on", "off"]


def settings(host: str, mode: Mode, path: Path | None = None) -> Settings:
    return Settings(
        server=ServerSettings(host=host), auth=AuthSettings(mode=mode, keys_file=None if path is None else str(path))
    )


@pytest.mark.parametrize(
    ("host", "mode", "required"),
    [
        ("127.0.0.1", "auto", False),
        ("::1", "auto", False),
        ("localhost", "auto", False),
        ("0.0.0.0", "auto", True),
        ("::", "auto", True),
        ("192.168.1.7", "auto", True),
        ("speech.example", "auto", True),
        ("127.0.0.1", "on", True),
        ("0.0.0.0", "off", False),
    ],
)
def test_callers_must_say_who_they_are_where_others_can_reach_the_server(
    host: str, mode: Mode, *, required: bool
) -> None:
    assert is_required(settings(host, mode)) is required


def test_a_server_that_would_let_nobody_in_says_what_to_do_instead_of_starting(tmp_path: Path) -> None:
    with pytest.raises(SpeechError) as caught:
        Access(settings("0.0.0.0", "auto", tmp_path / "keys.json"))
    assert caught.value.code is ErrorCode.INVALID_SETTING
    assert "antiphon keys create" in caught.value.message
    assert "--insecure" in caught.value.message


@pytest.mark.parametrize(("mode", "warnings"), [("auto", ["issuer_not_used"]), ("off", [])])
def test_an_issuer_that_is_not_asked_is_warned_of(tmp_path: Path, mode: Mode, warnings: list[str]) -> None:
    auth = AuthSettings(mode=mode, issuer="https://issuer.example", keys_file=str(tmp_path / "keys.json"))
    with capture_logs() as logs:
        Access(Settings(auth=auth))
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == warnings
    assert all("auth.mode" in line["remedy"] for line in logs)


async def test_without_need_everyone_is_local(tmp_path: Path) -> None:
    access = Access(settings("127.0.0.1", "auto", tmp_path / "keys.json"))
    assert (await access.credential(None)).principal == LOCAL
    assert (await access.credential("whatever an OpenAI client sends")).principal == LOCAL


async def test_a_key_made_while_the_server_runs_lets_in_and_one_that_is_revoked_ends_what_it_began(
    tmp_path: Path,
) -> None:
    file = KeyFile(tmp_path / "keys.json")
    first, record = file.create(name="", tenant="acme", scopes=[Scope.AUDIO], quotas=Quotas())
    access = Access(settings("0.0.0.0", "auto", tmp_path / "keys.json"))
    second, _ = file.create(name="", tenant="acme", scopes=[Scope.AUDIO], quotas=Quotas())
    with pytest.raises(SpeechError):
        await access.credential(second)
    await access.reload()
    credential = await access.credential(first)
    with access.held(credential) as held, access.held(await access.credential(second)) as other:
        file.revoke(record.id)
        await access.reload()
        assert held.cancel_called
        assert not other.cancel_called
    with pytest.raises(SpeechError) as caught:
        await access.credential(first)
    assert caught.value.code is ErrorCode.UNAUTHENTICATED
    assert first not in caught.value.message
    await access.credential(second)


async def test_a_file_that_breaks_while_the_server_runs_locks_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, _ = KeyFile(path).create(name="", tenant="acme", scopes=[Scope.AUDIO], quotas=Quotas())
    access = Access(settings("0.0.0.0", "auto", path))
    path.write_text("{")
    await access.reload()
    await access.credential(key)
    path.unlink()
    await access.reload()
    with pytest.raises(SpeechError):
        await access.credential(key)
