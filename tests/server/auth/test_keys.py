from __future__ import annotations

import stat
from pathlib import Path

import pytest

from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Quotas, Scope
from server.auth.keys import KeyFile, KeyRing


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "new" / "keys.json")


def made(file: KeyFile, **quotas: int) -> str:
    key, _ = file.create(name="test", tenant="acme", scopes=[Scope.AUDIO], quotas=Quotas(**quotas))
    return key


def test_a_key_lets_in_whom_it_was_made_for(file: KeyFile) -> None:
    key = made(file)
    found = KeyRing(file.read(), Quotas()).principal(key)
    assert found is not None
    key_id, principal = found
    assert key_id in key
    assert (principal.tenant, principal.subject, principal.scopes) == ("acme", f"key:{key_id}", {Scope.AUDIO})


@pytest.mark.parametrize("wrong", ["{}x", "x{}", "{} ", "antiphon_", ""])
def test_what_is_not_the_whole_key_is_none(file: KeyFile, wrong: str) -> None:
    key = made(file)
    ring = KeyRing(file.read(), Quotas())
    assert ring.principal(wrong.format(key)) is None
    assert ring.principal(key[:-1]) is None


def test_the_secret_of_one_key_does_not_go_with_the_id_of_another(file: KeyFile) -> None:
    (prefix, first, _), (_, _, secret) = made(file).split("_", 2), made(file).split("_", 2)
    assert KeyRing(file.read(), Quotas()).principal(f"{prefix}_{first}_{secret}") is None


def test_the_quotas_of_a_key_go_before_those_of_the_settings(file: KeyFile) -> None:
    key = made(file, sessions=3)
    found = KeyRing(file.read(), Quotas(sessions=1, requests_per_min=9)).principal(key)
    assert found is not None
    assert found[1].quotas == Quotas(sessions=3, requests_per_min=9)


def test_the_file_holds_no_key_and_is_for_its_owner_alone(file: KeyFile, tmp_path: Path) -> None:
    key = made(file)
    path = tmp_path / "new" / "keys.json"
    assert key.split("_", 2)[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR


def test_a_revoked_key_stays_in_the_file_and_lets_nobody_in(file: KeyFile) -> None:
    key = made(file)
    (record,) = file.read()
    version = file.version()
    assert file.revoke(record.id).revoked_at is not None
    assert file.version() != version
    assert file.revoke(record.id) == file.read()[0]  # a second time changes nothing
    assert len(ring := KeyRing(file.read(), Quotas())) == 0
    assert ring.principal(key) is None


def test_a_key_that_is_not_there_cannot_be_revoked(file: KeyFile) -> None:
    with pytest.raises(SpeechError) as caught:
        file.revoke("0" * 12)
    assert caught.value.code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize("content", [b"{", b'{"keys": [{"id": "x"}]}', b'{"kyes": []}'])
def test_a_file_of_something_else_is_an_invalid_setting(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    with pytest.raises(SpeechError) as caught:
        KeyFile(path).read()
    assert caught.value.code is ErrorCode.INVALID_SETTING
    assert "auth.keys_file" in caught.value.message


def test_a_folder_that_cannot_be_written_is_an_invalid_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpeechError) as caught:
        made(KeyFile(tmp_path / "file" / "keys.json"))
    assert caught.value.code is ErrorCode.INVALID_SETTING
