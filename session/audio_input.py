"""The user's audio on its way in: from pieces of any size to frames with a speech probability.

Nothing here is a task: a piece that completes a frame sends it to the model, and the answer goes on from there. So a
session that hears silence costs little, and one server can listen to hundreds. What waits, because it came faster than
it is spoken, goes to the model many frames at a time; it is heard frame by frame all the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic  # anyio's clock costs ten times as much, and this is asked a hundred times a second
from typing import Final

import anyio
import numpy as np

from engines.base import VadState
from engines.codec.resampler import Resampler
from schemas.audio import SESSION_RATE_HZ, VAD_FRAME_SAMPLES, Samples, float_from_pcm16
from session.voice_activity import VoiceActivity

WAITING_S: Final = 1.0
"""Audio that may wait for the models before whoever sends it waits too."""
_ASKED_FRAMES_MAX: Final = 32
"""At the model at once: a second, which it takes a few milliseconds for."""
_LIVE_FRAMES: Final = 16
"""The newest half second goes frame by frame: recognition and turn detector answer meanwhile, as when it is spoken."""
_SAMPLE_BYTES: Final = 2


class _Mark:
    """A place between two frames, and what is to be done there."""

    def __init__(self, do: Callable[[], None]) -> None:
        self.do = do
        self.passed = anyio.Event()


class AudioInput:
    """One session's. All methods are called on the event loop.

    Args:
        rate_hz: Of what is fed.
        voice_activity: Tells speech from silence.
        stall_s: How long audio may fail to come within a turn.
        is_weighed: Whether anything but its length decides what a pause is.
        hear: Takes each frame, ``float32, (512,)`` at 16 kHz, and its speech probability.
        is_held: Whether the next frame must wait until :meth:`go_on` is called.
        is_in_turn: Whether audio that stops coming means something.
        on_stall: Told that it has.
        on_failure: Told that this session cannot go on, and why.
    """

    def __init__(
        self,
        rate_hz: int,
        voice_activity: VoiceActivity,
        stall_s: float,
        *,
        is_weighed: bool = True,
        hear: Callable[[Samples, float], None],
        is_held: Callable[[], bool],
        is_in_turn: Callable[[], bool],
        on_stall: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._rate_hz = rate_hz
        self._voice_activity = voice_activity
        self._stall_s = stall_s
        self._live_frames = _LIVE_FRAMES if is_weighed else 0
        self._hear = hear
        self._is_held = is_held
        self._is_in_turn = is_in_turn
        self._on_stall = on_stall
        self._on_failure = on_failure
        self._resampler = Resampler(rate_hz, SESSION_RATE_HZ)
        self._fed = bytearray()
        self._fed_max_bytes = int(WAITING_S * rate_hz) * _SAMPLE_BYTES
        self._frame_bytes = rate_hz * VAD_FRAME_SAMPLES // SESSION_RATE_HZ * _SAMPLE_BYTES
        self._taken: anyio.Event | None = None
        """For who waits until less is fed."""
        self._frames: deque[Samples | _Mark] = deque()
        self._rest: Samples = np.zeros(0, np.float32)
        """Less than a frame."""
        self._asked: list[Samples] = []
        """Frames at the model now."""
        self._scored: deque[tuple[Samples, float]] = deque()
        """Frames that are back from it and not heard yet, and their speech probabilities."""
        self._moved_s = 0.0
        """When audio last came in or was heard."""
        self._closed = False
        self._vad_state: VadState | None = None

    @property
    def unheard_s(self) -> float:
        """Audio that was fed and not yet heard. It is much only when audio comes faster than it is spoken."""
        waiting_samples = (len(self._frames) + len(self._asked) + len(self._scored)) * VAD_FRAME_SAMPLES
        return waiting_samples / SESSION_RATE_HZ + len(self._fed) / _SAMPLE_BYTES / self._rate_hz

    async def feed(self, pcm16: bytes) -> bool:
        """Take whole samples of 16-bit PCM; waits while too much waits already. False if the session ended first.

        Raises:
            SpeechError: ``model_not_installed`` if there is no voice activity detection.
        """
        while len(self._fed) >= self._fed_max_bytes and not self._closed:
            self._taken = self._taken or anyio.Event()
            await self._taken.wait()
        if self._closed:
            return False
        if self._vad_state is None:
            self._vad_state = self._voice_activity.initial_state()
        self._fed += pcm16
        self._moved_s = monotonic()
        self.go_on()
        return True

    async def after_heard(self, do: Callable[[], None], *, fill: bool) -> bool:
        """Do something when all that was fed so far has been heard; wait until then.

        Args:
            do: Called between two frames.
            fill: Whether a rest that is less than a frame is heard as well, with silence behind it.

        Returns:
            False if the session ended first.
        """
        mark = _Mark(do)
        self._take()
        if fill and len(self._rest):
            self._fill()
        self._frames.append(mark)
        self.go_on()
        await mark.passed.wait()
        return not self._closed

    def go_on(self) -> None:
        """Hear what is back from the model and send it what follows, unless something holds the next frame."""
        while not self._asked and not self._closed:
            if not self._scored and len(self._frames) <= self._live_frames and len(self._fed) >= self._frame_bytes:
                self._take()  # what has more behind it is not the newest any more
            if not (self._scored or self._frames) or self._is_held():
                return
            if self._scored:
                if not self._hear_next():
                    return
            elif isinstance(following := self._frames[0], _Mark):
                self._frames.popleft()
                self._pass(following)
            elif self._vad_state is not None:
                self._asked = self._next_frames()
                self._voice_activity.score(self._asked, self._vad_state, self._answered, self._fail)

    def _next_frames(self) -> list[Samples]:
        """Those before the next mark: one, or of what waits for long already, many."""
        most = max(1, min(_ASKED_FRAMES_MAX, len(self._frames) - self._live_frames))
        following: list[Samples] = []
        while self._frames and len(following) < most and not isinstance(frame := self._frames[0], _Mark):
            following.append(frame)
            self._frames.popleft()
        return following

    def _hear_next(self) -> bool:
        """Hear one frame; whether the session goes on."""
        frame, probability = self._scored.popleft()
        try:
            self._hear(frame, probability)
        except Exception as error:  # noqa: BLE001  one session's failure must not reach the others of the tick
            self._on_failure(error)
            return False
        return True

    def _pass(self, mark: _Mark) -> None:
        try:
            mark.do()
        except Exception as error:  # noqa: BLE001  one session's failure must not reach whoever made it go on
            self._on_failure(error)
        mark.passed.set()

    def close(self) -> None:
        """Take no more; who waits is let go."""
        self._closed = True
        self._tell_taken()
        for waiting in self._frames:
            if isinstance(waiting, _Mark):
                waiting.passed.set()
        for kept in (self._fed, self._frames, self._scored):  # the session itself may be kept for longer
            kept.clear()
        self._asked, self._rest = [], np.zeros(0, np.float32)

    async def run(self) -> None:
        """Notice when audio stops coming within a turn."""
        while True:
            still_s = monotonic() - self._moved_s
            if still_s < self._stall_s:
                await anyio.sleep(self._stall_s - still_s)
                continue
            if self._is_in_turn() and not (self._asked or self._scored or self._frames):
                self._stall()
            await anyio.sleep(self._stall_s)

    def _take(self) -> None:
        """Cut what was fed into frames."""
        pcm16, self._fed = self._fed, bytearray()
        self._tell_taken()
        samples = self._resampler.push(float_from_pcm16(pcm16))
        if len(self._rest):
            samples = np.concatenate((self._rest, samples))
        whole = len(samples) - len(samples) % VAD_FRAME_SAMPLES
        self._rest = samples[whole:]
        self._frames.extend(samples[:whole].reshape(-1, VAD_FRAME_SAMPLES))

    def _tell_taken(self) -> None:
        if self._taken is not None:
            self._taken.set()
            self._taken = None

    def _stall(self) -> None:
        """The rest of a frame may hold the end of a word: silence fills it up."""
        self._take()
        if len(self._rest):
            self._fill()
        self._frames.append(_Mark(self._on_stall))
        self.go_on()

    def _fill(self) -> None:
        self._frames.append(np.pad(self._rest, (0, VAD_FRAME_SAMPLES - len(self._rest))))
        self._rest = self._rest[:0]

    def _answered(self, probabilities: list[float], state: VadState) -> None:
        frames, self._asked = self._asked, []
        if self._closed:
            return
        self._vad_state = state
        self._moved_s = monotonic()
        self._scored.extend(zip(frames, probabilities, strict=True))
        self.go_on()

    def _fail(self, error: Exception) -> None:
        if not self._closed:
            self._on_failure(error)
