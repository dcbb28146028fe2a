"""The user's audio on its way in: from pieces of any size to frames with a speech probability.

Pieces only pile up until there is a frame: the task that listens is woken once a frame, not once a piece, as hundreds
of sessions that hear silence must cost little.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import numpy as np

from engines.base import VadState
from engines.codec.resampler import Resampler
from engines.host import EngineHost
from schemas.audio import SESSION_RATE_HZ, VAD_FRAME_SAMPLES, Samples, float_from_pcm16

WAITING_S: Final = 1.0
"""Audio that may wait for the models before whoever sends it waits too."""
_SAMPLE_BYTES: Final = 2


class AudioInput:
    """One session's. ``feed`` and ``run`` are called on the event loop, ``run`` as a task.

    Args:
        rate_hz: Of what is fed.
        host: Tells speech from silence.
        stall_s: How long audio may fail to come within a turn.
        hear: Takes each frame, ``float32, (512,)`` at 16 kHz, and its speech probability; may make the next one wait.
        is_in_turn: Whether audio that stops coming means something.
        on_stall: Told that it has.
    """

    def __init__(
        self,
        rate_hz: int,
        host: EngineHost,
        stall_s: float,
        *,
        hear: Callable[[Samples, float], Awaitable[None]],
        is_in_turn: Callable[[], bool],
        on_stall: Callable[[], None],
    ) -> None:
        self._rate_hz = rate_hz
        self._host = host
        self._stall_s = stall_s
        self._hear = hear
        self._is_in_turn = is_in_turn
        self._on_stall = on_stall
        self._resampler = Resampler(rate_hz, SESSION_RATE_HZ)
        self._fed = bytearray()
        self._fed_max_bytes = int(WAITING_S * rate_hz) * _SAMPLE_BYTES
        self._frame_bytes = rate_hz * VAD_FRAME_SAMPLES // SESSION_RATE_HZ * _SAMPLE_BYTES
        self._frame_fed = anyio.Event()
        self._taken = anyio.Event()
        self._rest: Samples = np.zeros(0, np.float32)
        """Less than a frame."""
        self._unheard_samples = 0
        self._closed = False
        self._vad_state: VadState

    @property
    def unheard_s(self) -> float:
        """Audio that was fed and not yet heard. It is much only when audio comes faster than it is spoken."""
        return self._unheard_samples / SESSION_RATE_HZ + len(self._fed) / _SAMPLE_BYTES / self._rate_hz

    async def feed(self, pcm16: bytes) -> bool:
        """Take whole samples of 16-bit PCM; waits while too much waits already. False if the session ended first."""
        while len(self._fed) >= self._fed_max_bytes and not self._closed:
            await self._taken.wait()
        if self._closed:
            return False
        self._fed += pcm16
        if len(self._fed) >= self._frame_bytes:
            self._frame_fed.set()
        return True

    def close(self) -> None:
        """Take no more; who waits is let go."""
        self._closed = True
        self._taken.set()

    async def run(self) -> None:
        """Hear what is fed, for as long as it lasts."""
        self._vad_state = self._host.vad_initial_state()
        while True:
            if not self._is_in_turn():
                await self._frame_fed.wait()
            else:
                with anyio.move_on_after(self._stall_s):
                    await self._frame_fed.wait()
            stalled = not self._frame_fed.is_set()
            frames = self._take()
            if stalled:
                # The rest of a frame may hold the end of a word: silence fills it up.
                frames.append(np.pad(self._rest, (0, VAD_FRAME_SAMPLES - len(self._rest))))
                self._rest = self._rest[:0]
            for frame in frames:
                self._unheard_samples = max(0, self._unheard_samples - VAD_FRAME_SAMPLES)
                probabilities, (self._vad_state,) = await self._host.score_vad(frame[np.newaxis], [self._vad_state])
                await self._hear(frame, float(probabilities[0]))
            if stalled:
                self._on_stall()

    def _take(self) -> list[Samples]:
        """The whole frames of what was fed."""
        pcm16, self._fed = self._fed, bytearray()
        self._frame_fed = anyio.Event()
        self._taken.set()
        self._taken = anyio.Event()
        samples = np.concatenate((self._rest, self._resampler.push(float_from_pcm16(pcm16))))
        whole = len(samples) - len(samples) % VAD_FRAME_SAMPLES
        self._rest = samples[whole:]
        self._unheard_samples += whole
        return list(samples[:whole].reshape(-1, VAD_FRAME_SAMPLES))
