"""Fixtures of the whole suite."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import settings as hypothesis_settings

from engines.models.catalog import Catalog
from engines.models.store import ModelStore, default_root
from schemas.audio import SESSION_RATE_HZ, Samples
from schemas.errors import SpeechError

# No deadline: a test fails by what it finds, not by how busy the machine is.
hypothesis_settings.register_profile("antiphon", deadline=None)
hypothesis_settings.load_profile("antiphon")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def speech_dir() -> Path:
    """The folder of real recordings; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("ANTIPHON_SPEECH_DIR", ROOT.parent / "shared" / "speech"))
    if not (folder / "manifest.jsonl").is_file():
        pytest.skip("no real recordings: set ANTIPHON_SPEECH_DIR to a folder with manifest.jsonl")
    return folder


@pytest.fixture(scope="session")
def speech_manifest(speech_dir: Path) -> list[dict[str, Any]]:
    """One row a recording: file, text, language, kind, duration_s …"""
    return [json.loads(line) for line in (speech_dir / "manifest.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="session")
def recording(speech_dir: Path) -> Callable[[str], Samples]:
    """Real recordings by their file name in the manifest, as 16 kHz samples."""
    from faster_whisper import audio  # noqa: PLC0415 (slow to import, for tests that hear something only)

    @cache
    def decode(name: str) -> Samples:
        samples = cast("Any", audio).decode_audio(str(speech_dir / name), sampling_rate=SESSION_RATE_HZ)
        samples.flags.writeable = False
        return samples

    return decode


@pytest.fixture(scope="session")
def model_dir() -> Callable[[str], Path]:
    """Folders of installed models by name. A missing one fails the test and says what to run."""
    store = ModelStore(Path(os.environ.get("ANTIPHON_MODELS_DIR", default_root())), Catalog.load())

    def find(name: str) -> Path:
        try:
            return store.path(name)
        except SpeechError as error:
            pytest.fail(error.message)

    return find
