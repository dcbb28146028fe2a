"""Fixtures of the whole suite."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

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
