"""A small model and the origins it comes from."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stamina

from engines.models.catalog import Catalog, ModelEntry, ModelFile, Origin
from engines.models.huggingface import HuggingFaceAccess
from engines.models.store import ModelStore
from schemas.models import ModelKind

CONTENT = {"model.bin": b"weights " * 4_000, "config/voice.json": b'{"rate": 16000}'}


@pytest.fixture
def content() -> dict[str, bytes]:
    """The right bytes of each file of the small model."""
    return dict(CONTENT)


@pytest.fixture
def files() -> tuple[ModelFile, ...]:
    return tuple(ModelFile(path, hashlib.sha256(data).hexdigest(), len(data)) for path, data in CONTENT.items())


@pytest.fixture
def store_of(tmp_path: Path, files: tuple[ModelFile, ...]) -> Callable[..., ModelStore]:
    """A store with one model, ``tiny``, that comes from the given origins. All stores of a test share a folder."""

    def make(*origins: Origin) -> ModelStore:
        tiny = ModelEntry(
            name="tiny",
            kind=ModelKind.ASR,
            engine="whisper",
            title="A small model",
            licence="MIT",
            licence_url="https://example.test/licence",
            sample_rate_hz=16_000,
            files=files,
            origins=origins,
        )
        return ModelStore(tmp_path / "models", Catalog([tiny]), HuggingFaceAccess("https://hub.test", "hf_secret"))

    return make


@pytest.fixture
def source(tmp_path: Path, content: dict[str, bytes]) -> Path:
    """A folder with the files of the small model."""
    folder = tmp_path / "source"
    for path, data in content.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


@pytest.fixture
def wheel_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, bytes]], None]:
    """Makes wheels of version 1.0.0; they are all that pip finds in this test."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))

    def make(name: str, members: dict[str, bytes]) -> None:
        metadata = f"{name}-1.0.0.dist-info"
        with zipfile.ZipFile(folder / f"{name}-1.0.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
            for path, data in members.items():
                wheel.writestr(path, data)
            wheel.writestr(f"{metadata}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n")
            wheel.writestr(f"{metadata}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{metadata}/RECORD", "")

    return make


@pytest.fixture
def quick_retries() -> Iterator[None]:
    """Retries happen, without their waits."""
    with stamina.set_testing(True, attempts=3):
        yield
