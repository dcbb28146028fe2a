"""Silero VAD v5 and v6, by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.base import Lanes, VadState
from engines.onnx_session import OnnxSession
from schemas.audio import SESSION_RATE_HZ, VAD_FRAME_SAMPLES

# The shapes of silero_vad.onnx at 16 kHz, as in silero_vad/utils_vad.py (OnnxWrapper) of its package.
_CONTEXT_SAMPLES: Final = 64
"""The model hears the end of the frame before together with each frame."""
_LAYERS: Final = 2
_UNITS: Final = 128
_MEMORY_VALUES: Final = _LAYERS * _UNITS


class SileroVad:
    """Voice activity detection with ``silero_vad.onnx``; one call scores any number of streams.

    A :data:`~engines.base.VadState` is ``float32, (320,)``: the recurrent memory, then the last 64 samples heard.

    Args:
        model_dir: Folder with ``silero_vad.onnx``.
        threads: Threads one call computes with.
    """

    lanes = Lanes(max_batch=64)
    """64 streams cost 30 µs each, one alone 71."""

    def __init__(self, model_dir: Path, *, threads: int = 1) -> None:
        self._session = OnnxSession(model_dir / "silero_vad.onnx", threads=threads)
        self._rate = np.array(SESSION_RATE_HZ, dtype=np.int64)

    def initial_state(self) -> VadState:
        """The state of a stream that has heard nothing."""
        return np.zeros(_MEMORY_VALUES + _CONTEXT_SAMPLES, dtype=np.float32)

    def score(
        self, frames: NDArray[np.float32], states: Sequence[VadState]
    ) -> tuple[NDArray[np.float32], list[VadState]]:
        """Speech probabilities of one frame of each stream; see :class:`engines.base.Vad`."""
        streams = len(states)
        if frames.shape != (streams, VAD_FRAME_SAMPLES):
            raise ValueError(f"{streams} states need frames of shape ({streams}, 512), not {frames.shape}")
        if not streams:
            return np.empty(0, dtype=np.float32), []
        packed = np.stack(states)
        # (b, 2·128) in our states, (2, b, 128) in the model.
        memory = packed[:, :_MEMORY_VALUES].reshape(streams, _LAYERS, _UNITS).swapaxes(0, 1)
        heard = np.concatenate((packed[:, _MEMORY_VALUES:], frames), axis=1)
        scores, memory = self._session.run(
            ("output", "stateN"), {"input": heard, "state": np.ascontiguousarray(memory), "sr": self._rate}
        )
        memory = memory.swapaxes(0, 1).reshape(streams, _MEMORY_VALUES)
        # A copy for each stream: a view would keep the memory of all streams alive as long as one lives.
        after = [np.concatenate((memory[i], heard[i, -_CONTEXT_SAMPLES:])) for i in range(streams)]
        return scores[:, 0], after

    def close(self) -> None:
        """Free the model's memory."""
        del self._session
