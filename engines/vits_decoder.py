"""The decoder of a VITS model, run in windows that grow.

A HiFi-GAN is made of convolutions: a sample depends on a few frames to either side and on no others. So frames are
decoded in windows with so many frames of context, of which the samples are dropped; what is left is what the whole
sentence at once would have given, to the rounding of single precision. How many frames is measured, since it differs
between qualities of voices: one frame is blanked, and where samples change is how far it is heard. For the medium
quality of Piper that is 11 frames.

The first window is small, because somebody waits for it, and each is twice the one before up to a limit, because
context is decoded twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.onnx_session import OnnxSession
from schemas.audio import Samples

_FIRST_WINDOW_FRAMES: Final = 24
"""About 0.28 s at Piper's 86 frames a second: enough to listen to until the next window is decoded."""
_MAX_WINDOW_FRAMES: Final = 192
"""About 2.2 s. Longer ones save little context, cost more time a frame (caches) and more memory."""
_EXAMPLE_FRAMES: Final = 64
"""What the context is measured on: twice what the high quality of Piper needs."""

Frames = NDArray[np.float32]
"""``(1, channels, n)``: what the decoder makes samples of."""


class VitsDecoder:
    """Makes samples of frames; may be called from several threads at once.

    Args:
        session: The decoder's half of the graph.
        frames: Name of its input.
        audio: Name of its output.
        speaker: Inputs beside the frames, by name.
        example: Frames of some speech to measure the context on, 64 at least.

    Raises:
        ValueError: A frame is heard so far away that this is no HiFi-GAN.
    """

    def __init__(
        self, session: OnnxSession, *, frames: str, audio: str, speaker: dict[str, NDArray[np.int64]], example: Frames
    ) -> None:
        self._session = session
        self._frames = frames
        self._audio = audio
        self._speaker = speaker
        some = example[:, :, :_EXAMPLE_FRAMES].copy()
        whole = self.decode(some)
        self.samples_per_frame = len(whole) // some.shape[2]
        blank = some.shape[2] // 2
        some[:, :, blank] = 0.0
        changed = np.flatnonzero(self.decode(some) != whole) // self.samples_per_frame
        self.context_frames = int(np.abs(changed - blank).max(initial=0))
        """How far a frame is heard to either side of it."""
        if self.context_frames >= blank - 1:
            raise ValueError("the decoder's context has no end")

    def decode(self, frames: Frames) -> Samples:
        """The samples of all these frames at once."""
        (audio,) = self._session.run((self._audio,), {self._frames: frames, **self._speaker})
        return audio.reshape(-1)

    def windows(self, frames: Frames) -> Iterator[Samples]:
        """The samples of these frames in pieces. Joined they are those of :meth:`decode`."""
        count = frames.shape[2]
        start, size = 0, _FIRST_WINDOW_FRAMES
        while start < count:
            end = min(start + size, count)
            left = min(start, self.context_frames)
            window = frames[:, :, start - left : end + self.context_frames]
            samples = self.decode(np.ascontiguousarray(window))
            yield samples[left * self.samples_per_frame :][: (end - start) * self.samples_per_frame]
            start, size = end, min(2 * size, _MAX_WINDOW_FRAMES)
