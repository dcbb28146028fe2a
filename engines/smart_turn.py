"""Smart Turn v3: end of turn from the sound, by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray

from engines.base import Lanes
from engines.onnx_session import OnnxSession
from schemas.audio import SESSION_RATE_HZ, Samples

# The model's input, as in pipecat/audio/turn/smart_turn/local_smart_turn_v3.py (BSD-2-Clause): the last 8 s, silence
# in front of shorter clips, zero mean and unit variance, then Whisper's log-mel spectrogram of 80 bands, 800 frames.
_WINDOW_S: Final = 8
_WINDOW_SAMPLES: Final = _WINDOW_S * SESSION_RATE_HZ
_VARIANCE_FLOOR: Final = 1e-7
_FILE: Final = "smart-turn-v3.2-cpu.onnx"


class SmartTurn:
    """Turn detection with ``smart-turn-v3.2-cpu.onnx``, 23 languages. About 30 ms a clip on one CPU core.

    Args:
        model_dir: Folder with the ONNX file.
        threads: Threads one call computes with.
    """

    lanes = Lanes()
    """A clip costs the same among eight as alone."""

    def __init__(self, model_dir: Path, *, threads: int = 1) -> None:
        self._session = OnnxSession(model_dir / _FILE, threads=threads)
        self._spectrogram = FeatureExtractor(chunk_length=_WINDOW_S)

    def score(self, clips: Sequence[Samples]) -> list[float]:
        """Probability, for each clip, that the turn is complete; see :class:`engines.base.TurnDetector`."""
        if not clips:
            return []
        features = np.stack([self._features(clip) for clip in clips])
        (scores,) = self._session.run(("logits",), {"input_features": features})
        # Despite its name the output is a probability: the graph ends in a sigmoid.
        return [float(score) for score in scores[:, 0]]

    def close(self) -> None:
        """Free the model's memory."""
        del self._session

    def _features(self, clip: Samples) -> NDArray[np.float32]:
        """``float32, (80, 800)``."""
        window = np.zeros(_WINDOW_SAMPLES, dtype=np.float32)
        heard = clip[-_WINDOW_SAMPLES:]
        window[_WINDOW_SAMPLES - len(heard) :] = heard
        window = (window - window.mean()) / np.sqrt(window.var() + _VARIANCE_FLOOR)
        return cast("NDArray[Any]", self._spectrogram(window, padding=0)).astype(np.float32)
