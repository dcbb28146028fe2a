from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from faster_whisper import WhisperModel

from engines.whisper_batch import best_batch


class Device:
    """A model whose decoder takes so long for each call and for each row of it."""

    def __init__(self, kind: str, row_s: float, call_s: float) -> None:
        self.now_s = 0.0
        self.sizes: list[int] = []
        self.hf_tokenizer = SimpleNamespace(token_to_id=len)
        self.feature_extractor = SimpleNamespace(mel_filters=np.zeros((80, 201)))
        self.model = SimpleNamespace(device=kind, encode=np.asarray, generate=self._generate)
        self._row_s = row_s
        self._call_s = call_s

    def clock(self) -> float:
        return self.now_s

    def _generate(self, encoded: Any, prompts: list[list[int]], **options: Any) -> None:
        assert encoded.shape[0] == len(prompts)
        assert options["max_length"] > 1
        self.sizes.append(len(prompts))
        self.now_s += self._call_s + self._row_s * len(prompts)


@pytest.mark.parametrize(
    ("kind", "row_s", "call_s", "best"),
    [
        pytest.param("cpu", 1.0, 0.0, 1, id="rows cost what they cost alone"),
        pytest.param("cpu", 0.9, 0.1, 1, id="the gain is not worth the wait"),
        pytest.param("cpu", 0.3, 0.7, 4, id="weights are most of the cost"),
        pytest.param("cuda", 0.01, 1.0, 16, id="a row more is for nothing"),
        pytest.param("cuda", 0.6, 0.4, 4, id="the largest gains nothing more"),
    ],
)
def test_the_batch_is_as_large_as_it_is_worth(kind: str, row_s: float, call_s: float, best: int) -> None:
    device = Device(kind, row_s, call_s)
    assert best_batch(device, clock=device.clock) == best


def test_a_batch_larger_than_one_that_gains_nothing_is_not_tried() -> None:
    device = Device("cuda", 1.0, 0.0)
    best_batch(device, clock=device.clock)
    assert set(device.sizes) == {1, 4}


@pytest.mark.real
def test_a_real_model_is_measured(model_dir: Callable[[str], Path]) -> None:
    model: Any = WhisperModel(str(model_dir("whisper-tiny.en")), device="cpu", compute_type="int8", cpu_threads=1)
    assert best_batch(model) in {1, 4}
