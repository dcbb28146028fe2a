"""The store that the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import ErrorCode, SpeechError
from server.sessions import session_store
from server.settings import Settings, StoreSettings
from session.stores.memory import MemoryStore


def test_the_memory_store_needs_no_file() -> None:
    assert isinstance(session_store(Settings(store=StoreSettings(kind="memory"))), MemoryStore)


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(SpeechError) as caught:
        session_store(Settings(store=StoreSettings(path=str(tmp_path))))
    assert (caught.value.code, caught.value.param) == (ErrorCode.INVALID_SETTING, "store.path")
    assert "ANTIPHON_STORE_PATH" in caught.value.message


def test_a_file_of_something_else_is_no_store(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a database " * 100, "utf-8")
    with pytest.raises(SpeechError) as caught:
        session_store(Settings(store=StoreSettings(path=str(other))))
    assert caught.value.code is ErrorCode.INVALID_SETTING


def test_a_folder_that_cannot_be_made_is_said_to_be_so(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SpeechError) as caught:
        session_store(Settings(store=StoreSettings(path=str(file / "sessions.db"))))
    assert caught.value.code is ErrorCode.INVALID_SETTING
