"""Where to cut a long recording: at silences, into pieces that fit the window of recognition.

Pure: scores of voice activity in, places out. A piece begins just before speech and ends just after it; a long pause
ends it, because Whisper invents words in long silence; within shorter pauses the longest of its second half does, so
that pieces keep enough context. What counts as speech, as before and as long, :class:`Cutting` says.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from schemas.audio import SESSION_RATE_HZ, VAD_FRAME_SAMPLES

_FRAMES_PER_S: Final = SESSION_RATE_HZ / VAD_FRAME_SAMPLES
MAX_PIECE_FRAMES: Final = int(30 * _FRAMES_PER_S)
"""30 s: what Whisper hears at once."""
_HYSTERESIS: Final = 0.15
"""Silero's own: what lies less than this below the threshold of speech is not silence yet."""
_PAD_FRAMES: Final = int(0.4 * _FRAMES_PER_S)
"""Kept behind speech: soft ends score low. As faster-whisper pads."""
_CLICK_PAUSE_FRAMES: Final = int(3 * _FRAMES_PER_S)
_MIN_SPOKEN_FRAMES: Final = int(0.16 * _FRAMES_PER_S)
"""Alone in a long silence, shorter than any word: a click, out of which Whisper makes “You”."""


class Cutting(Struct, frozen=True, kw_only=True):
    """How voice activity cuts."""

    threshold: float = 0.5
    """The probability from which on a frame is speech."""
    lead_ms: int = 400
    """Kept before speech: soft beginnings score low."""
    pause_ms: int = 3_000
    """Silence longer than this ends a piece."""

    @property
    def silence(self) -> float:
        """The probability below which a frame is silence."""
        return max(0.0, self.threshold - _HYSTERESIS)

    @property
    def lead_frames(self) -> int:
        """``lead_ms`` in whole frames."""
        return int(self.lead_ms / 1_000 * _FRAMES_PER_S)

    @property
    def pause_frames(self) -> int:
        """``pause_ms`` in whole frames."""
        return int(self.pause_ms / 1_000 * _FRAMES_PER_S)


DEFAULT_CUTTING: Final = Cutting()


class Cut(Struct, frozen=True):
    """The next piece, in frames of 32 ms from where the scores begin."""

    start: int
    end: int
    """``start`` where there is no speech."""
    resume: int
    """From where to go on. All before it is done with."""


def next_piece(scores: NDArray[np.float32], *, is_end: bool, cutting: Cutting = DEFAULT_CUTTING) -> Cut | None:
    """The first piece of what these frames hold.

    Args:
        scores: Probabilities of speech, ``float32, (n,)``, from where the last piece ended.
        is_end: Whether the recording ends with them.
        cutting: What is speech, and which pauses end a piece.

    Returns:
        ``None`` if more scores are needed to tell.
    """
    spoken = np.flatnonzero(scores >= cutting.threshold)
    if not len(spoken):
        # What comes next may begin softly.
        silent = len(scores) if is_end else max(0, len(scores) - cutting.lead_frames)
        return Cut(silent, silent, silent) if silent or is_end else None
    start = max(0, int(spoken[0]) - cutting.lead_frames)
    window = scores[start : start + MAX_PIECE_FRAMES]
    spoken = spoken[spoken < start + len(window)]
    silences = np.diff(spoken) - 1
    pauses = np.flatnonzero(silences > cutting.pause_frames)
    if len(pauses):
        silent = int(silences[pauses[0]])
        end = int(spoken[pauses[0]]) + 1 + min(_PAD_FRAMES, silent // 2)
        is_click = start and pauses[0] + 1 < _MIN_SPOKEN_FRAMES and silent > _CLICK_PAUSE_FRAMES
        return Cut(end if is_click else start, end, end)
    if len(window) < MAX_PIECE_FRAMES and not is_end:
        return None
    if start + len(window) < len(scores) or not is_end:
        end = start + _quietest(window, cutting.silence)
        return Cut(start, end, end)
    end = min(len(scores), int(spoken[-1]) + 1 + _PAD_FRAMES)
    return Cut(end if start and len(spoken) < _MIN_SPOKEN_FRAMES else start, end, len(scores))


def _quietest(window: NDArray[np.float32], silence: float) -> int:
    """The middle of the longest silence in the second half; without one, the frame most like silence."""
    half = len(window) // 2
    later = window[half:]
    edges = np.flatnonzero(np.diff(np.concatenate(([False], later < silence, [False]))))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return half + int(later.argmin())
    longest = int((ends - starts).argmax())
    return half + int(starts[longest] + ends[longest] + 1) // 2
