"""The flow and the decoder of a VITS model, run in windows that grow.

Both are made of convolutions: what comes out depends on a few frames to either side and on no others. So windows are
run with so many frames of context, of which the results are dropped; what is left is what the whole sentence at once
would have given, to the rounding of single precision. How many frames is measured, since it differs between qualities
of voices: one frame is blanked, and where results change is how far it is heard. For the medium quality of Piper that
is 32 frames for the flow and 11 for the decoder.

The first window is small, because somebody waits for it, and each is twice the one before up to a limit, because
context is computed twice. The flow costs a fifth of the decoder and has the longer context, so it runs further ahead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.vits_network import NetworkPart
from schemas.audio import Samples

_FIRST_WINDOW_FRAMES: Final = 16
"""About 0.19 s at Piper's 86 frames a second: enough to listen to until the next window is decoded."""
_MAX_WINDOW_FRAMES: Final = 192
"""About 2.2 s. Longer ones save little context, cost more time a frame (caches) and more memory."""
_FLOW_GROWTH: Final = 4
_MAX_FLOW_FRAMES: Final = 768
_EXAMPLE_FRAMES: Final = 128
"""What the context is measured on: twice what the flow of Piper's voices needs, and some."""

Frames = NDArray[np.float32]
"""``(1, channels, n)``."""


class VitsStage:
    """The flow or the decoder: may be called from several threads at once.

    Args:
        session: This part of the graph.
        taken: Name of the input that has frames.
        made: Name of the output.
        mask: Name of the input that has a 1 for each frame, if there is one.
        speaker: Inputs beside these, by name.
        example: Frames of some speech to measure the context on, 128 if there are so many.

    Raises:
        ValueError: A frame is heard so far away that these are no convolutions.
    """

    def __init__(
        self,
        session: NetworkPart,
        *,
        taken: str,
        made: str,
        example: Frames,
        mask: str | None = None,
        speaker: dict[str, NDArray[np.int64]] | None = None,
    ) -> None:
        self._session = session
        self._taken = taken
        self._made = made
        self._mask = mask
        self._speaker = speaker or {}
        some = example[:, :, :_EXAMPLE_FRAMES].copy()
        whole = self.run(some)
        self.per_frame = whole.shape[-1] // some.shape[2]
        """What is made of one frame: 1 frame or so many samples."""
        blank = some.shape[2] // 2
        some[:, :, blank] = 0.0
        changed = np.flatnonzero((self.run(some) != whole).any(axis=(0, 1))) // self.per_frame
        self.context_frames = int(np.abs(changed - blank).max(initial=0))
        """How far a frame is heard to either side of it."""
        if self.context_frames >= blank - 1:
            raise ValueError("the context has no end")

    def run(self, frames: Frames) -> NDArray[np.float32]:
        """What is made of all these frames at once: ``(1, channels, n * per_frame)``."""
        inputs: dict[str, NDArray[Any]] = {self._taken: np.ascontiguousarray(frames), **self._speaker}
        if self._mask is not None:
            inputs[self._mask] = np.ones((1, 1, frames.shape[2]), np.float32)
        (made,) = self._session.run((self._made,), inputs)
        return made.reshape(1, -1, made.shape[-1])

    def window(self, frames: Frames, start: int, end: int) -> NDArray[np.float32]:
        """What :meth:`run` makes of the frames from ``start`` to ``end``, at less cost."""
        left = min(start, self.context_frames)
        made = self.run(frames[:, :, start - left : end + self.context_frames])
        return made[:, :, left * self.per_frame :][:, :, : (end - start) * self.per_frame]


class VitsDecoder:
    """Makes samples of latents; may be called from several threads at once.

    Args:
        decoder: Makes samples of frames.
        flow: Makes frames of latents; ``None`` if latents are frames already.
    """

    def __init__(self, decoder: VitsStage, flow: VitsStage | None = None) -> None:
        self._decoder = decoder
        self._flow = flow
        self.samples_per_frame = decoder.per_frame

    def decode(self, latents: Frames) -> Samples:
        """The samples of all these latents at once."""
        frames = latents if self._flow is None else self._flow.run(latents)
        return self._decoder.run(frames).reshape(-1)

    def windows(self, latents: Frames) -> Iterator[Samples]:
        """The samples of these latents in pieces. Joined they are those of :meth:`decode`."""
        count = latents.shape[2]
        frames = latents if self._flow is None else np.empty_like(latents)
        ready = count if self._flow is None else 0
        start, size = 0, _FIRST_WINDOW_FRAMES
        while start < count:
            end = min(start + size, count)
            wanted = min(end + self._decoder.context_frames, count)
            if self._flow is not None and ready < wanted:
                ahead = min(max(wanted, ready + min(_FLOW_GROWTH * ready, _MAX_FLOW_FRAMES)), count)
                frames[:, :, ready:ahead] = self._flow.window(latents, ready, ahead)
                ready = ahead
            yield self._decoder.window(frames[:, :, :ready], start, end).reshape(-1)
            start, size = end, min(2 * size, _MAX_WINDOW_FRAMES)
