"""Silero VAD v6: the network of ``silero_vad.onnx``, computed for many streams and frames at once.

ONNX Runtime computes its convolutions one stream after the other, four columns at a time. Here the Fourier transform is
a fast one, and each layer after it one product of matrices for all of them, which takes a third of the time; only the
memory of a stream goes from one frame to the next. Beside its messages, that is what a session costs to which nobody
speaks. The results are ONNX Runtime's, to rounding.

The layers, as silero-vad has them (``silero_vad.onnx``, the branch for 16 kHz): a short-time Fourier transform whose
basis is a weight, four convolutions over its magnitudes, an LSTM cell, and one output.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from engines.base import Lanes, VadState
from engines.onnx_graph import constants
from schemas.audio import VAD_FRAME_SAMPLES
from schemas.errors import ErrorCode, SpeechError

Floats = NDArray[np.float32]

_CONTEXT_SAMPLES: Final = 64
"""The model hears the end of the frame before together with each frame."""
_PADDING_SAMPLES: Final = 64
"""Mirrored behind the frame."""
_WINDOW_SAMPLES: Final = 256
_HOP_SAMPLES: Final = 128
_BINS: Final = 129
_CHANNELS: Final = (128, 64, 64, 128)
"""What the convolutions give: of three columns each, the middle two in steps of two."""
_UNITS: Final = 128
_MEMORY_VALUES: Final = 2 * _UNITS
_GATES: Final = 4
_ROWS: Final = 128
"""Frames looked at together: more gain nothing, and take 20 kB each."""
_HALF: Final = np.float32(0.5)
_BRANCH: Final = "If_0_then_branch__Inline_0__"
"""Before the names of the weights for 16 kHz."""


class SileroVad:
    """Voice activity detection with ``silero_vad.onnx``; one call scores any number of streams.

    A :data:`~engines.base.VadState` is ``float32, (320,)``: the recurrent memory, then the last 64 samples heard.

    Args:
        model_dir: Folder with ``silero_vad.onnx``.

    Raises:
        SpeechError: ``model_corrupt`` for a file with another network.
    """

    lanes = Lanes(max_batch=64)
    """From 32 streams on the time a stream is the same."""

    def __init__(self, model_dir: Path) -> None:
        try:
            self._network = _Network(constants((model_dir / "silero_vad.onnx").read_bytes()))
        except (OSError, KeyError, ValueError):
            raise SpeechError(
                ErrorCode.MODEL_CORRUPT,
                f"The files of the model {model_dir.name} are not those of Silero VAD v6. "
                f"Run: antiphon models pull {model_dir.name} --force",
                param="model",
            ) from None

    def initial_state(self) -> VadState:
        """The state of a stream that has heard nothing."""
        return np.zeros(_MEMORY_VALUES + _CONTEXT_SAMPLES, dtype=np.float32)

    def score(self, frames: Floats, states: Sequence[VadState]) -> tuple[Floats, list[VadState]]:
        """Speech probabilities of frames of each stream; see :class:`engines.base.Vad`."""
        streams = len(states)
        if frames.ndim != 3 or frames.shape[::2] != (streams, VAD_FRAME_SAMPLES):  # noqa: PLR2004
            raise ValueError(f"{streams} states need frames of shape ({streams}, t, 512), not {frames.shape}")
        if not frames.size:
            return np.empty(frames.shape[:2], dtype=np.float32), [*states]
        before = np.concatenate(states).reshape(streams, -1)
        heard = np.concatenate((before[:, _MEMORY_VALUES:], frames.reshape(streams, -1)), axis=1)
        scores, memory = self._network.run(heard, before[:, :_UNITS], before[:, _UNITS:_MEMORY_VALUES])
        after = np.concatenate((*memory, heard[:, -_CONTEXT_SAMPLES:]), axis=1)
        # A copy for each stream: a view would keep the memory of all streams alive as long as one lives.
        return scores, [state.copy() for state in after]

    def close(self) -> None:
        """Free the model's memory."""
        del self._network


class _Network:
    """Args: weights, by name. Raises ``KeyError`` or ``ValueError`` if they are not those of this network."""

    def __init__(self, weights: dict[str, Floats]) -> None:
        basis = weights[f"{_BRANCH}stft.forward_basis_buffer"].reshape(2 * _BINS, _WINDOW_SAMPLES)
        self._window = basis[0].copy()  # the cosine of frequency 0 is 1
        transform = np.fft.rfft(np.diag(self._window)).T
        if not np.allclose(basis, np.concatenate((transform.real, transform.imag)), atol=1e-5):
            raise ValueError("the basis is not that of a Fourier transform under a window")
        self._convolutions: list[tuple[Floats, Floats]] = []
        taken = _BINS
        for number, given in enumerate(_CHANNELS):
            name = f"{_BRANCH}encoder.{number}.reparam_conv"
            kernel = weights[f"{name}.weight"].reshape(given, taken, 3)
            columns = kernel.transpose(2, 1, 0).reshape(3 * taken, given)
            self._convolutions.append((np.ascontiguousarray(columns), weights[f"{name}.bias"].reshape(given)))
            taken = given
        name = f"{_BRANCH}decoder.rnn"
        parts = [weights[f"{name}.weight_{of}"].reshape(_GATES * _UNITS, _UNITS).T for of in ("ih", "hh")]
        self._cell = np.concatenate(parts)
        self._cell_bias = (weights[f"{name}.bias_ih"] + weights[f"{name}.bias_hh"]).reshape(_GATES * _UNITS)
        self._output = weights[f"{_BRANCH}decoder.decoder.2.weight"].reshape(_UNITS)
        self._output_bias = weights[f"{_BRANCH}decoder.decoder.2.bias"].reshape(())

    def run(self, heard: Floats, hidden: Floats, cell: Floats) -> tuple[Floats, tuple[Floats, Floats]]:
        """Probabilities ``(b, t)`` and memory ``(b, 128)`` twice, of ``(b, 64 + 512 t)`` samples and the memory before.

        What a frame looks like needs no other frame: all are looked at together. Only memory goes from one to the next.
        """
        frames = sliding_window_view(heard, _CONTEXT_SAMPLES + VAD_FRAME_SAMPLES, axis=1)[:, ::VAD_FRAME_SAMPLES]
        rows = frames.reshape(-1, frames.shape[2])
        looks = [self._look(rows[at : at + _ROWS]) for at in range(0, len(rows), _ROWS)]
        seen = np.concatenate(looks).reshape(len(heard), -1, _GATES * _UNITS)
        shown = np.empty((*seen.shape[:2], _UNITS), np.float32)
        for number in range(seen.shape[1]):
            hidden, cell = self._remember(seen[:, number], hidden, cell)
            shown[:, number] = hidden
        return _sigmoid(np.maximum(shown, 0) @ self._output + self._output_bias), (hidden, cell)

    def _look(self, frames: Floats) -> Floats:
        """What frames ``(f, 576)`` add to the gates of the cell, ``(f, 512)``."""
        found = self._magnitudes(frames)
        for number, step in enumerate((1, 2, 2, 1)):
            found = self._convolve(found, number, step)
        seen: Floats = found[:, 0] @ self._cell[:_UNITS]
        seen += self._cell_bias
        return seen

    def _remember(self, seen: Floats, hidden: Floats, cell: Floats) -> tuple[Floats, Floats]:
        """One step of the cell: its memory ``(b, 128)`` twice."""
        gates: Floats = hidden @ self._cell[_UNITS:]
        gates += seen
        taken, kept, new, shown = (gates[:, at : at + _UNITS] for at in range(0, _GATES * _UNITS, _UNITS))
        cell = _sigmoid(kept) * cell + _sigmoid(taken) * np.tanh(new)
        return _sigmoid(shown) * np.tanh(cell), cell

    def _magnitudes(self, frames: Floats) -> Floats:
        """``(f, 4, 129)``."""
        mirrored = frames[:, -2 : -_PADDING_SAMPLES - 2 : -1]
        windows = sliding_window_view(np.concatenate((frames, mirrored), axis=1), _WINDOW_SAMPLES, axis=1)
        spectra = np.fft.rfft(windows[:, ::_HOP_SAMPLES] * self._window)
        return np.sqrt(spectra.real**2 + spectra.imag**2)

    def _convolve(self, columns: Floats, number: int, step: int) -> Floats:
        """``(f, n / step, channels)`` of ``(f, n, …)``: of each column and its neighbours, nothing beyond the ends."""
        frames, count, channels = columns.shape
        kernel, bias = self._convolutions[number]
        if count == 1:  # only the middle of the kernel meets it
            return np.maximum(columns[:, 0] @ kernel[channels : 2 * channels] + bias, 0)[:, None]
        padded = np.zeros((frames, count + 2, channels), np.float32)
        padded[:, 1:-1] = columns
        threes = np.stack([padded[:, at : count + at : step] for at in range(3)], axis=2)
        return np.maximum(threes.reshape(-1, 3 * channels) @ kernel + bias, 0).reshape(frames, -1, len(bias))


def _sigmoid(values: Floats) -> Floats:
    return _HALF + _HALF * np.tanh(_HALF * values)  # an exponential would overflow
