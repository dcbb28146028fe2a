"""What the default installation, which has no torch, says when a Coqui model is asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engines.coqui.convert import convert_piper_voice
from engines.coqui.torch_runtime import import_extra, pick_device
from engines.coqui.vits import CoquiVitsTts
from engines.coqui.xtts import XttsTts
from engines.models.catalog import Catalog
from engines.models.store import ModelStore
from schemas.errors import ErrorCode, SpeechError


@pytest.fixture(autouse=True)
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torch", "TTS", "onnx"):
        monkeypatch.setitem(sys.modules, module, None)


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    for load in (
        lambda: CoquiVitsTts(tmp_path),
        lambda: XttsTts(tmp_path),
        lambda: pick_device("auto"),
        lambda: import_extra("onnx"),
        lambda: convert_piper_voice(ModelStore(tmp_path, Catalog.load()), "piper-en_US-joe-medium"),
    ):
        with pytest.raises(SpeechError, match=r"pip install 'antiphon\[coqui\]'") as raised:
            load()
        assert raised.value.code is ErrorCode.MISSING_EXTRA
