"""Smart Turn v3: end of turn from the sound, by ONNX Runtime, with a head of ours.

What the network has made of a clip before its last layers says more of how speech ends than these make of it: asked of
sentences that are cut off between two words, they take half of the cuts for ends. So the last layer is ours, a
logistic regression on the states of the network in the last words and in the silence after them, by
``scripts/turn_head.py``: ``smart_turn_head.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from msgspec import Struct, json
from numpy.typing import NDArray

from engines.base import Lanes, TurnAudio
from engines.onnx_graph import OnnxGraph
from engines.onnx_session import OnnxSession
from schemas.audio import SESSION_RATE_HZ, Samples

# The model's input, as in pipecat/audio/turn/smart_turn/local_smart_turn_v3.py (BSD-2-Clause): the last 8 s, silence
# in front of shorter clips, zero mean and unit variance, then Whisper's log-mel spectrogram of 80 bands, 800 frames.
_WINDOW_S: Final = 8
_WINDOW_SAMPLES: Final = _WINDOW_S * SESSION_RATE_HZ
_VARIANCE_FLOOR: Final = 1e-7
_FILE: Final = "smart-turn-v3.2-cpu.onnx"
_SCORE: Final = "logits"
_STATES: Final = "layer_norm_8"
"""The network's states, 384 numbers for each 20 ms, before its own attention pools them over time."""
_STATE_SAMPLES: Final = SESSION_RATE_HZ // 50
_SPOKEN_STATES: Final = 40
"""A head is given the mean of so many before the silence, 0.8 s, and that of the silence."""
_LEAST_STATES: Final = 5
"""100 ms, of what is spoken and of what is silent: shorter silence is taken for so much, and longer than the window for
all but so much of it."""


class TurnHead(Struct, frozen=True, forbid_unknown_fields=True):
    """A last layer for Smart Turn."""

    version: str
    bias: float
    weights: tuple[float, ...]
    """Of the mean state of the last words, then of that of the silence."""

    def probability(self, states: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """``(b,)``, for states ``(b, n)``: that the turn is complete."""
        logits = states @ np.array(self.weights, np.float32) + self.bias
        return 1 / (1 + np.exp(-logits))


HEAD: Final = json.decode(resources.files("engines").joinpath("smart_turn_head.json").read_bytes(), type=TurnHead)
"""The one that comes with this version."""


class SmartTurn:
    """Turn detection with ``smart-turn-v3.2-cpu.onnx``, 23 languages. About 30 ms a clip on one CPU core.

    Args:
        model_dir: Folder with the ONNX file.
        threads: Threads one call computes with.
        head: The last layer; ``None`` leaves the model its own.
    """

    lanes = Lanes()
    """A clip costs the same among eight as alone."""

    def __init__(self, model_dir: Path, *, threads: int = 1, head: TurnHead | None = HEAD) -> None:
        graph = OnnxGraph((model_dir / _FILE).read_bytes())
        self._session = OnnxSession(graph.part(_SCORE if head is None else _STATES), threads=threads)
        self._head = head
        self._spectrogram = FeatureExtractor(chunk_length=_WINDOW_S)

    def score(self, clips: Sequence[TurnAudio]) -> list[float]:
        """Probability, for each clip, that the turn is complete; see :class:`engines.base.TurnDetector`."""
        if not clips:
            return []
        if self._head is not None:
            return list(map(float, self._head.probability(self.states(clips))))
        # Despite its name the model's own output is a probability: the graph ends in a sigmoid.
        return list(map(float, self._run(_SCORE, clips)[:, 0]))

    def states(self, clips: Sequence[TurnAudio]) -> NDArray[np.float32]:
        """``float32, (b, 768)``: what a head is given of each clip. Not of a detector without one."""
        found = self._run(_STATES, clips)
        return np.stack([_before_and_in_silence(one, clip) for one, clip in zip(found, clips, strict=True)])

    def _run(self, output: str, clips: Sequence[TurnAudio]) -> NDArray[np.float32]:
        features = np.stack([self._features(clip.samples) for clip in clips])
        (found,) = self._session.run((output,), {"input_features": features})
        return found

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


def _before_and_in_silence(states: NDArray[np.float32], clip: TurnAudio) -> NDArray[np.float32]:
    """``(768,)``, of states ``(t, 384)``."""
    silent = round(clip.silence_samples / _STATE_SAMPLES)
    end = len(states) - min(max(silent, _LEAST_STATES), len(states) - _LEAST_STATES)
    return np.concatenate((states[max(0, end - _SPOKEN_STATES) : end].mean(axis=0), states[end:].mean(axis=0)))
