"""How many turns Whisper had best recognise in one call, measured on the device it runs on.

The decoder reads all of its weights for every token, whether for one row or for several. Where memory is slow and
arithmetic is not, on a GPU and often on a CPU, rows together cost much less than one after the other. But the first
of a batch waits for the last, so a larger batch must be clearly better.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import ctranslate2
import numpy as np

_ct2: Any = ctranslate2
"""Not typed throughout."""

_SIZES: Final = {"cpu": (1, 4), "cuda": (1, 4, 16)}
"""Larger ones take longer to measure than they could win, or too much memory."""
_WORTH_IT: Final = 0.8
"""Of the time a turn takes in the batch tried before."""
_FRAMES: Final = 200
"""What the encoder is shown does not matter to the decoder, so as little as will do."""
_TOKENS: Final = 12
_BEAM: Final = 5
_RUNS: Final = 2


def best_batch(model: Any, *, clock: Callable[[], float] = time.perf_counter) -> int:  # noqa: ANN401 (untyped library)
    """The number of turns; blocks for about a second.

    Args:
        model: A ``faster_whisper.WhisperModel``.
        clock: Seconds.
    """
    best, best_s = 1, float("inf")
    for size in _SIZES[model.model.device]:
        each_s = _decode_s(model, size, clock) / size
        if each_s > _WORTH_IT * best_s:
            break
        best, best_s = size, each_s
    return best


def _decode_s(model: Any, size: int, clock: Callable[[], float]) -> float:  # noqa: ANN401 (untyped library)
    tokenizer = model.hf_tokenizer
    start, end = tokenizer.token_to_id("<|startoftranscript|>"), tokenizer.token_to_id("<|endoftext|>")
    features = np.zeros((size, model.feature_extractor.mel_filters.shape[0], _FRAMES), np.float32)
    encoded = model.model.encode(_ct2.StorageView.from_array(features))
    times_s: list[float] = []
    for _ in range(_RUNS):
        started_s = clock()
        # Without an end each row has as many tokens.
        model.model.generate(
            encoded, [[start]] * size, beam_size=_BEAM, max_length=1 + _TOKENS, suppress_tokens=[-1, end]
        )
        times_s.append(clock() - started_s)
    return min(times_s)
