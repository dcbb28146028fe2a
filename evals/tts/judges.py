"""Models that listen in place of people. Their scores are proxies: they tell versions apart, and prove nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, files
from typing import Any, Final, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from schemas.audio import SESSION_RATE_HZ, Samples
from schemas.errors import ErrorCode, SpeechError

Judge = Callable[[Samples], float]
"""The mean opinion score, 1 to 5, that a model gives speech: ``float32, (n,)``, 16 kHz."""
Identify = Callable[[Samples], NDArray[np.float32]]
"""A vector of length 1 for who speaks: those of one person are close."""

_DNSMOS_FILE: Final = "speechmos/dnsmos_models/sig_bak_ovr.onnx"
_DNSMOS_SHA256: Final = "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd"
_DNSMOS_SAMPLES: Final = int(9.01 * SESSION_RATE_HZ)
_DNSMOS_OVERALL: Final = (-0.06766283, 1.11546468, 0.04602535)
"""From the model's scale to that of people: P.835, overall (speechmos 0.0.1.1, ``dnsmos.py``)."""


def dnsmos() -> Judge:
    """DNSMOS P.835, overall quality (Reddy, Gopal and Cutler, ICASSP 2022).

    The weights are those of the package ``speechmos``, checked by their hash; the package is not imported.

    Raises:
        SpeechError: ``missing_extra``.
    """
    try:
        found = [path for path in files("speechmos") or () if str(path) == _DNSMOS_FILE]
    except PackageNotFoundError:
        found = []
    weights = found[0].read_binary() if found else b""
    if hashlib.sha256(weights).hexdigest() != _DNSMOS_SHA256:
        raise SpeechError(ErrorCode.MISSING_EXTRA, "pip install 'speechmos==0.0.1.1'")
    session = cast("Any", onnxruntime).InferenceSession(weights, providers=["CPUExecutionProvider"])

    def judge(samples: Samples) -> float:
        whole: Samples = np.clip(samples, -1.0, 1.0)
        while len(whole) < _DNSMOS_SAMPLES:
            whole = np.concatenate((whole, whole))
        scores: list[float] = []
        for begin in range(0, len(whole) - _DNSMOS_SAMPLES + 1, SESSION_RATE_HZ):
            window = whole[np.newaxis, begin : begin + _DNSMOS_SAMPLES].astype(np.float32)
            overall = float(session.run(None, {"input_1": window})[0][0][2])
            scores.append(float(np.polyval(_DNSMOS_OVERALL, overall)))
        return float(np.mean(scores))

    return judge


def distillmos() -> Judge:
    """DistillMOS (Stahl and Gamper, ICASSP 2025), on torch.

    Raises:
        SpeechError: ``missing_extra``.
    """
    torch = _imported("torch", "distillmos")
    model = _imported("distillmos", "distillmos").ConvTransformerSQAModel()
    model.eval()

    def judge(samples: Samples) -> float:
        with torch.no_grad():
            return float(model(torch.from_numpy(np.ascontiguousarray(samples)[np.newaxis])))

    return judge


def resemblyzer() -> Identify:
    """The speaker encoder of Resemblyzer (Wan et al., 2018), on torch.

    Raises:
        SpeechError: ``missing_extra``.
    """
    package = _imported("resemblyzer", "resemblyzer 'setuptools<81'")
    encoder = package.VoiceEncoder("cpu", verbose=False)

    def identify(samples: Samples) -> NDArray[np.float32]:
        return encoder.embed_utterance(package.preprocess_wav(samples, source_sr=SESSION_RATE_HZ))

    return identify


def similarities(vectors: Sequence[NDArray[np.float32]]) -> list[float]:
    """The cosine of each with the mean of the others: of one voice, how alike its utterances are."""
    if len(vectors) < 2:  # noqa: PLR2004  there is nothing to be like
        return []
    stacked = np.stack(vectors)
    others = stacked.sum(axis=0) - stacked
    return [
        float(one @ rest / max(1e-9, float(np.linalg.norm(one) * np.linalg.norm(rest))))
        for one, rest in zip(stacked, others, strict=True)
    ]


def _imported(name: str, packages: str) -> Any:  # noqa: ANN401  a module
    try:
        return import_module(name)
    except ImportError as error:
        raise SpeechError(ErrorCode.MISSING_EXTRA, f"pip install {packages}") from error
