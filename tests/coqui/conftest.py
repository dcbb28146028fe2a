"""Fixtures of the tests that need the extra ``coqui``. Where it is missing they are not collected."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

collect_ignore_glob = [] if find_spec("TTS") else ["test_*.py"]

PIPER_VOICE = "piper-en_US-joe-medium"


@pytest.fixture(scope="session")
def piper_dir(model_dir: Callable[[str], Path]) -> Path:
    """The folder of a real Piper voice."""
    return model_dir(PIPER_VOICE)


@pytest.fixture(scope="session")
def imported_dir(piper_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same voice, imported."""
    from engines.coqui.piper_import import import_voice  # noqa: PLC0415 (an extra)

    folder = tmp_path_factory.mktemp("imported")
    import_voice(piper_dir, folder)
    return folder
