"""The agent's own voice in the user's microphone: how much of a frame it explains.

Clients without echo cancellation send the loudspeaker back. The server knows what it sent, so it can tell: it looks for
the delay at which the microphone follows the agent's audio, learns the path between them (loudspeaker, room,
microphone) as a filter in short-time spectra, and says for each frame which share of its energy that predicts. The
user's voice is not predicted, also not while the agent speaks.

The delay comes from the generalised cross-correlation with phase transform (Knapp and Carter 1976). The filter is a
weighted recursive least-squares one in each frequency, over as many frames as a room rings on (a multi-delay filter:
Soo and Pang 1990); frames that it does not predict, because the user speaks, teach it little. Only its prediction from
before a frame counts, so that it cannot explain by chance.

What is recognised is heard without the echo: in each frequency the sound is turned down by what is predicted of it, as
much as the user's voice does not stand above it (spectral subtraction: Boll 1979).

Sans-I/O. All audio is ``float32``, 16 kHz. Time is that of the microphone: the loudspeaker plays as many samples as the
microphone hears.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.audio import SESSION_RATE_HZ, VAD_FRAME_SAMPLES, Samples

MAX_DELAY_S: Final = 2.0
"""A client's buffer, the network both ways, the sound card."""
SEARCH_S: Final = 0.256
"""Audio in which the delay is looked for: not much more than it takes to pause the agent."""
SEARCH_EVERY_FRAMES: Final = 4
PEAK: Final = 9.0
"""Height of a correlation peak over the standard deviation around it that is no accident."""
UNSURE_S: Final = 3.0
"""So long the agent is heard before the absence of an echo is believed."""
TAPS: Final = 4
"""Frames that the path reaches back: 128 ms."""
FORGET: Final = 0.97
"""A frame: paths change when somebody moves."""
_WINDOW: Final = 2 * VAD_FRAME_SAMPLES
_HISTORY: Final = int((MAX_DELAY_S + SEARCH_S) * SESSION_RATE_HZ) + (TAPS + 2) * VAD_FRAME_SAMPLES
_BAND: Final = slice(6, 257)
"""100 Hz to 4 kHz, where speech is."""
_GUARD_SAMPLES: Final = 16
"""How much earlier than the peak the path may begin."""
_FAINT: Final = 1e-7
"""Mean square of what is silence: -70 dBFS."""
_OVER: Final = 2.0
"""By how much more than is predicted the sound is turned down: the path is never known exactly."""
_FLOOR: Final = 0.05
"""Nothing is turned down further: -26 dB."""

Spectra = NDArray[np.complex64]


class EchoDetector:
    """Of one session. Costs nothing while the agent is silent."""

    def __init__(self) -> None:
        self._queue: list[Samples] = []
        self._paused = False
        self._played: Samples = np.zeros(_HISTORY, np.float32)
        """What the loudspeaker would have played by now, had nothing a delay."""
        self._heard: Samples = np.zeros(int(SEARCH_S * SESSION_RATE_HZ), np.float32)
        self._audible_frames = 0
        self._frames = 0
        self._quiet_samples = _HISTORY
        """Since when the loudspeaker is silent."""
        self._delay_samples: int | None = None
        self._explained = 0.0
        """Of the frame before."""
        self._without_echo: Samples | None = None
        self._rest: Samples | None = None
        """Second half of the last window, without the echo: the next one adds its first half."""
        self._window = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
        self._reset_path()

    def _reset_path(self) -> None:
        bins = _BAND.stop - _BAND.start
        self._covariance: Spectra = np.zeros((bins, TAPS, TAPS), np.complex64)
        self._correlation: Spectra = np.zeros((bins, TAPS), np.complex64)
        self._path: Spectra = np.zeros((bins, TAPS), np.complex64)
        self._learned_frames = 0

    # What the loudspeaker gets

    def sent(self, samples: Samples) -> None:
        """More of the agent's audio is on its way."""
        self._queue.append(samples)

    def paused(self) -> None:
        """The loudspeaker stands still."""
        self._paused = True

    def resumed(self) -> None:
        """It goes on with what is sent from now on."""
        self._paused = False
        self._queue.clear()

    def flushed(self) -> None:
        """It has dropped what it had."""
        self.resumed()

    # What the microphone hears

    @property
    def is_known(self) -> bool:
        """Whether there is an echo, or the agent was heard for long without one."""
        return self._delay_samples is not None or self._audible_frames * VAD_FRAME_SAMPLES >= UNSURE_S * SESSION_RATE_HZ

    @property
    def has_echo(self) -> bool:
        """Whether the agent was heard in the microphone."""
        return self._delay_samples is not None

    def explained(self, frame: Samples) -> float:
        """The share of a frame's energy, ``float32, (512,)``, that is the agent's own voice: 0…1."""
        self._advance()
        self._without_echo = None
        if self._quiet_samples >= _HISTORY:
            self._rest = None
            return 0.0
        self._heard = np.concatenate((self._heard[VAD_FRAME_SAMPLES:], frame))
        self._frames += 1
        if self._frames % SEARCH_EVERY_FRAMES == 0:
            self._search()
        if self._delay_samples is None:
            return 0.0
        before = self._explained
        self._explained, predicted = self._predict(self._delay_samples)
        self._suppress(predicted)
        # At the onset of a sound the path rings less than it will: one frame that is not explained proves little.
        return max(before, self._explained)

    @property
    def without_echo(self) -> Samples | None:
        """The frame *before* the last one, ``float32, (512,)``, less the agent's voice; ``None`` if it has no echo."""
        return self._without_echo

    def _advance(self) -> None:
        """The loudspeaker plays one frame more."""
        if not self._queue and self._quiet_samples >= _HISTORY:
            return
        frame = np.zeros(VAD_FRAME_SAMPLES, np.float32)
        filled = 0
        while self._queue and filled < len(frame) and not self._paused:
            piece = self._queue.pop(0)
            now, later = piece[: len(frame) - filled], piece[len(frame) - filled :]
            if len(later):
                self._queue.insert(0, later)
            frame[filled : filled + len(now)] = now
            filled += len(now)
        if not filled:
            self._quiet_samples += len(frame)
        else:
            self._quiet_samples = 0
            self._audible_frames += bool(np.mean(frame**2) > _FAINT)
        self._played = np.concatenate((self._played[len(frame) :], frame))

    def _search(self) -> None:
        """Find the delay, or another one if the client's buffer has changed."""
        if np.mean(self._heard**2) < _FAINT:
            return
        span = self._played[-(int(MAX_DELAY_S * SESSION_RATE_HZ) + len(self._heard)) :]
        size = 1 << (len(span) + len(self._heard) - 1).bit_length()
        cross = np.fft.rfft(span, size) * np.conj(np.fft.rfft(self._heard, size))
        low, high = (hz * size // SESSION_RATE_HZ for hz in (200, 4_000))
        magnitude = np.abs(cross)
        cross = np.where(magnitude > 1e-3 * magnitude[low:high].mean(), cross / np.maximum(magnitude, 1e-12), 0)
        cross[:low] = cross[high:] = 0
        lags = np.fft.irfft(cross, size)[: len(span) - len(self._heard) + 1]
        peak = int(np.argmax(lags))
        # Where the loudspeaker was silent there is nothing to correlate with.
        share = np.count_nonzero(span) / len(span)
        if lags[peak] * np.sqrt(share) < PEAK * lags.std():
            return
        delay_samples = len(span) - len(self._heard) - peak
        if self._delay_samples is None or abs(delay_samples - self._delay_samples) > VAD_FRAME_SAMPLES:
            self._delay_samples = delay_samples
            self._reset_path()
            self._learn_past(delay_samples)

    def _learn_past(self, delay_samples: int) -> None:
        """What was heard while the delay was looked for has taught nothing yet."""
        frames = len(self._heard) // VAD_FRAME_SAMPLES
        for back in range(frames - 2, 0, -1):
            self._predict(delay_samples, back)

    def _predict(self, delay_samples: int, back: int = 0) -> tuple[float, Spectra]:
        """Predict the microphone from the loudspeaker, so many frames ago, and learn from what it was.

        Returns:
            The share of the energy that was predicted, and the prediction.
        """
        heard = self._spectrum(self._heard, back * VAD_FRAME_SAMPLES)
        behind = back * VAD_FRAME_SAMPLES + max(0, delay_samples - _GUARD_SAMPLES)
        played = np.stack(
            [self._spectrum(self._played, behind + tap * VAD_FRAME_SAMPLES) for tap in range(TAPS)], axis=1
        )
        heard_energy = float(np.sum(np.abs(heard) ** 2))
        predicted = np.sum(self._path * played, axis=1)
        predicted_energy = float(np.sum(np.abs(predicted) ** 2))
        explained = 0.0
        if heard_energy > _FAINT * _WINDOW and predicted_energy > 0:
            # The client may play more quietly than it did: the path's shape counts, not its gain.
            gain = float(np.sum((heard * np.conj(predicted)).real)) / predicted_energy
            predicted = np.complex64(min(max(gain, 0.0), 2.0)) * predicted
            residual = heard - predicted
            explained = 1.0 - min(1.0, float(np.sum(np.abs(residual) ** 2)) / heard_energy)
        self._learn(heard, played, (1.0 - explained) * heard_energy)
        return explained, predicted

    def _suppress(self, predicted: Spectra) -> None:
        """Turn the last window down by what was predicted of it; halves of two windows are a frame."""
        heard = np.fft.rfft(self._heard[-_WINDOW:] * self._window)
        louder = np.abs(predicted) ** 2 / np.maximum(np.abs(heard[_BAND]) ** 2, 1e-12)
        kept = np.clip(1.0 - _OVER * louder, _FLOOR, 1.0)
        # Above and below, where nothing is predicted, the echo is as loud as beside it.
        gains = np.concatenate(
            (
                np.full(_BAND.start, kept[: _BAND.start].mean()),
                kept,
                np.full(len(heard) - _BAND.stop, kept[len(kept) // 2 :].mean()),
            )
        )
        window = np.fft.irfft(gains * heard, _WINDOW).astype(np.float32)
        if self._rest is not None:
            self._without_echo = self._rest + window[:VAD_FRAME_SAMPLES]
        self._rest = window[VAD_FRAME_SAMPLES:]

    def _learn(self, heard: Spectra, played: Spectra, residual_energy: float) -> None:
        played_energy = float(np.mean(np.abs(played) ** 2))
        if played_energy <= _FAINT:
            return
        weight = 1.0 / (residual_energy + 0.01 * played_energy * len(heard))
        self._covariance = FORGET * self._covariance + weight * np.einsum("bi,bj->bij", np.conj(played), played)
        learned = FORGET * self._correlation + weight * np.conj(played) * heard[:, None]
        self._correlation = learned.astype(np.complex64)
        self._learned_frames += 1
        load = 1e-2 * np.trace(self._covariance, axis1=1, axis2=2).real.mean() / TAPS
        loaded = self._covariance + np.complex64(load) * np.eye(TAPS, dtype=np.complex64)
        self._path = np.linalg.solve(loaded, self._correlation[..., None])[..., 0]

    def _spectrum(self, samples: Samples, behind: int) -> Spectra:
        """The spectrum of the window that ends so many samples before the end."""
        end = len(samples) - behind
        window = samples[max(0, end - _WINDOW) : end]
        if len(window) < _WINDOW:
            window = np.pad(window, (_WINDOW - len(window), 0))
        return np.fft.rfft(window * self._window)[_BAND].astype(np.complex64)
