from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import numpy as np
import pytest

from evals.tts import judges
from evals.tts.judges import distillmos, dnsmos, resemblyzer, similarities
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError


def test_dnsmos_hears_that_noise_is_worse_and_scores_between_1_and_5(recording: Callable[[str], Samples]) -> None:
    clean = recording("ljspeech/LJ001-0005.flac")
    rng = np.random.default_rng(0)
    noisy = np.clip(clean + 0.05 * rng.standard_normal(len(clean)), -1.0, 1.0).astype(np.float32)
    judge = dnsmos()
    good, bad = judge(clean), judge(noisy)
    assert 1.0 < bad < good - 0.5 < 4.5
    assert judge(clean) == good


def test_a_short_sound_is_judged_too(recording: Callable[[str], Samples]) -> None:
    assert 1.0 < dnsmos()(recording("pocketsphinx/cards_001.flac")) < 5.0


def test_weights_that_are_not_those_are_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "_DNSMOS_SHA256", "0" * 64)
    with pytest.raises(SpeechError) as caught:
        dnsmos()
    assert caught.value.code is ErrorCode.MISSING_EXTRA


@pytest.mark.parametrize(("load", "package"), [(distillmos, "distillmos"), (resemblyzer, "resemblyzer")])
def test_a_judge_that_is_not_installed_says_what_to_install(
    load: Callable[[], object], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> object:
        if name in {"torch", package}:
            raise ImportError(name)
        return import_module(name)

    monkeypatch.setattr(judges, "import_module", missing)
    with pytest.raises(SpeechError, match=f"pip install .*{package}") as caught:
        load()
    assert caught.value.code is ErrorCode.MISSING_EXTRA


def test_alike_are_alike_and_one_alone_is_like_nobody() -> None:
    one = np.array([1.0, 0.0], np.float32)
    other = np.array([0.0, 1.0], np.float32)
    assert similarities([one, one, one]) == pytest.approx([1.0, 1.0, 1.0])
    assert similarities([one, other]) == pytest.approx([0.0, 0.0])
    assert similarities([one]) == []
