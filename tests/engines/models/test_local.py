from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engines.installed import installed_engines
from engines.models.catalog import Catalog, ModelEntry
from engines.models.local import ENTRY_NAME
from engines.models.store import ModelStore
from engines.spec import HostSettings
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind

XTTS = "xtts-v2"
ENTRY = ModelEntry(
    name="coqui-mine",
    kind=ModelKind.TTS,
    engine="coqui_vits",
    title="Mine",
    licence="CC0-1.0",
    licence_url="",
    sample_rate_hz=22_050,
)


def store(root: Path) -> ModelStore:
    return ModelStore(root, Catalog.load())


def make(into: Path) -> None:
    (into / "model.pth").write_bytes(b"weights")


def refused(call: Callable[[], object], code: ErrorCode) -> str:
    with pytest.raises(SpeechError) as raised:
        call()
    assert raised.value.code is code
    return raised.value.message


@pytest.fixture
def brought(tmp_path: Path) -> Path:
    folder = tmp_path / "brought"
    folder.mkdir()
    for name in ("config.json", "model.pth", "vocab.json"):
        (folder / name).write_text(name, "utf-8")
    return folder


def test_a_model_that_is_made_here_is_one_of_the_catalog_from_then_on(tmp_path: Path) -> None:
    here = store(tmp_path)
    entry = here.adopt(ENTRY, make)
    assert entry.size_bytes == 7
    for each in (here, store(tmp_path)):
        assert each.installed("coqui-mine")
        assert each.path("coqui-mine") == tmp_path / "coqui-mine"
        assert installed_engines(each, HostSettings())["coqui-mine"].installed


def test_its_files_are_checked_like_any_other(tmp_path: Path) -> None:
    store(tmp_path).adopt(ENTRY, make)
    (tmp_path / "coqui-mine" / "model.pth").write_bytes(b"changed")
    refused(lambda: store(tmp_path).path("coqui-mine"), ErrorCode.MODEL_CORRUPT)


def test_it_can_be_made_anew_and_deleted(tmp_path: Path) -> None:
    here = store(tmp_path)
    here.adopt(ENTRY, make)
    here.adopt(ENTRY, make)
    assert here.remove("coqui-mine")
    refused(lambda: store(tmp_path).path("coqui-mine"), ErrorCode.UNKNOWN_MODEL)


def test_it_takes_no_name_of_the_shipped_catalog(tmp_path: Path) -> None:
    taken = ModelEntry(
        name="whisper-base", kind=ModelKind.ASR, engine="x", title="", licence="", licence_url="", sample_rate_hz=1
    )
    refused(lambda: store(tmp_path).adopt(taken, make), ErrorCode.INVALID_REQUEST)


@pytest.mark.parametrize("text", ["{", "{}", None])
def test_a_folder_that_says_nothing_sensible_is_no_model(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "odd").mkdir()
    if text is not None:
        (tmp_path / "odd" / ENTRY_NAME).write_text(text, "utf-8")
    assert [entry.name for entry in store(tmp_path).catalog] == [entry.name for entry in Catalog.load()]


def test_a_folder_cannot_pass_for_another(tmp_path: Path) -> None:
    store(tmp_path).adopt(ENTRY, make)
    (tmp_path / "coqui-mine").rename(tmp_path / "else")
    assert "coqui-mine" not in {entry.name for entry in store(tmp_path).catalog}


class TestLicence:
    def test_a_non_commercial_model_says_so_before_it_is_installed(self, tmp_path: Path, brought: Path) -> None:
        message = refused(lambda: store(tmp_path).pull(XTTS, source=brought), ErrorCode.LICENCE_NOT_ACCEPTED)
        assert "non-commercial" in message
        assert "--accept-licence" in message
        assert not (tmp_path / XTTS).exists()

    def test_files_that_only_their_owner_gives_out_are_asked_for(self, tmp_path: Path) -> None:
        refused(lambda: store(tmp_path).pull(XTTS, licence_accepted=True), ErrorCode.MODEL_DOWNLOAD_FAILED)

    def test_accepted_and_brought_it_is_installed(self, tmp_path: Path, brought: Path) -> None:
        assert store(tmp_path).pull(XTTS, source=brought, licence_accepted=True)
        assert store(tmp_path).path(XTTS) == tmp_path / XTTS
        assert not store(tmp_path).pull(XTTS, source=brought, licence_accepted=True)
        assert store(tmp_path).pull(XTTS, source=brought, licence_accepted=True, force=True)

    def test_a_copied_folder_is_not_loaded_without_acceptance(self, tmp_path: Path, brought: Path) -> None:
        brought.rename(tmp_path / XTTS)
        engines = installed_engines(store(tmp_path), HostSettings())
        assert not engines[XTTS].installed
        refused(engines[XTTS].load, ErrorCode.LICENCE_NOT_ACCEPTED)

    def test_what_is_not_there_says_what_to_run(self, tmp_path: Path) -> None:
        message = refused(lambda: store(tmp_path).path(XTTS), ErrorCode.MODEL_NOT_INSTALLED)
        assert "antiphon models pull xtts-v2 --from FOLDER --accept-licence" in message
