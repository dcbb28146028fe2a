"""A microphone and a loudspeaker on one clock, as in a headset, without the hardware.

Every tick of :data:`FRAME_MS` takes a frame from the microphone and gives one to the loudspeaker. The clock is the
count of ticks: it is the session's clock too, since that counts the audio the session received. No wall clock here.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from msgspec import Struct

from schemas.audio import Samples

FRAME_MS: Final = 20
"""What telephony and browsers send at a time."""


class Microphone:
    """The user's side: recordings when there are some to speak, silence otherwise. A caller's line goes on.

    Args:
        rate_hz: Of the recordings and of the frames.
    """

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._frame_samples = rate_hz * FRAME_MS // 1000
        self._to_speak: Samples = np.zeros(0, np.float32)
        self._frames: list[Samples] = []

    @property
    def now_ms(self) -> int:
        """The clock: how much was captured."""
        return len(self._frames) * FRAME_MS

    @property
    def speaking(self) -> bool:
        """Whether part of a recording is still to come."""
        return len(self._to_speak) > 0

    def speak(self, samples: Samples) -> None:
        """Speak this after what is being spoken."""
        self._to_speak = np.concatenate((self._to_speak, samples))

    def capture(self) -> Samples:
        """The next frame, ``float32, (n,)``."""
        frame = self._to_speak[: self._frame_samples]
        self._to_speak = self._to_speak[self._frame_samples :]
        frame = np.pad(frame, (0, self._frame_samples - len(frame)))
        self._frames.append(frame)
        return frame

    @property
    def captured(self) -> Samples:
        """Everything so far."""
        return np.concatenate(self._frames) if self._frames else np.zeros(0, np.float32)


class Playback(Struct, frozen=True, eq=False):
    """What became of one item."""

    item_id: str
    started_ms: int
    """On the clock, when its first sample was played."""
    played: Samples
    dropped: Samples
    """What was received and never played."""


class _Item:
    def __init__(self, item_id: str) -> None:
        self.item_id = item_id
        self.started_ms: int | None = None
        self.played: list[Samples] = []
        self.position_samples = 0
        """Place in the item's audio: it goes back when a word is played again."""
        self.waiting: deque[tuple[int, Samples]] = deque()
        """Audio and its place."""
        self.dropped: list[Samples] = []


class Loudspeaker:
    """The agent's side: plays what it is given, in order, and knows to the sample how far it is with every item.

    Where there is nothing to play it plays silence: an item whose audio comes late goes on when it comes.

    Args:
        rate_hz: Of the audio and of the frames.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._frame_samples = rate_hz * FRAME_MS // 1000
        self._items: dict[str, _Item] = {}
        self._frames: list[Samples] = []
        self._gain = 1.0
        self._paused = False

    def push(self, item_id: str, samples: Samples, offset_ms: int) -> None:
        """More audio of an item, and its place in it."""
        item = self._items.setdefault(item_id, _Item(item_id))
        item.waiting.append((offset_ms * self._rate_hz // 1000, samples))

    def duck(self, gain_db: float) -> None:
        """Play more quietly from here on."""
        self._gain = 10 ** (gain_db / 20)

    def pause(self) -> None:
        """Stand still."""
        self._paused = True

    def resume(self, item_id: str, position_ms: int | None) -> None:
        """Go on at full volume. What waits from a position on is dropped: it is about to come again."""
        self._restore()
        item = self._items.get(item_id)
        if item is None or position_ms is None:
            return
        place = position_ms * self._rate_hz // 1000
        kept = [(begin, samples[: max(0, place - begin)]) for begin, samples in item.waiting]
        item.waiting = deque((begin, samples) for begin, samples in kept if len(samples))

    def _restore(self) -> None:
        self._gain, self._paused = 1.0, False

    def play(self) -> Samples:
        """The next frame, ``float32, (n,)``: what one hears now."""
        frame = np.zeros(self._frame_samples, np.float32)
        filled = 0
        for item in () if self._paused else self._items.values():
            while item.waiting and filled < len(frame):
                place, piece = item.waiting.popleft()
                now, later = np.split(piece, [len(frame) - filled])
                if len(later):
                    item.waiting.appendleft((place + len(now), later))
                if item.started_ms is None:
                    item.started_ms = len(self._frames) * FRAME_MS
                frame[filled : filled + len(now)] = now
                filled += len(now)
                item.played.append(now)
                item.position_samples = place + len(now)
        frame *= self._gain
        self._frames.append(frame)
        return frame

    def flush(self, item_id: str) -> int:
        """Drop what waits of an item; returns its last position in milliseconds."""
        item = self._items.setdefault(item_id, _Item(item_id))
        item.dropped += [samples for _, samples in item.waiting]
        item.waiting.clear()
        self._restore()
        return self.played_ms(item_id)

    def played_ms(self, item_id: str) -> int:
        """How far an item was played, in whole milliseconds."""
        item = self._items.get(item_id)
        return item.position_samples * 1000 // self._rate_hz if item else 0

    @property
    def current(self) -> str | None:
        """The item that plays, or the last that did."""
        started = [item_id for item_id, item in self._items.items() if item.started_ms is not None]
        return started[-1] if started else None

    @property
    def heard(self) -> Samples:
        """Everything that came out so far, silence included."""
        return np.concatenate(self._frames) if self._frames else np.zeros(0, np.float32)

    @property
    def playbacks(self) -> tuple[Playback, ...]:
        """The items that were begun, in order."""
        nothing = np.zeros(0, np.float32)
        return tuple(
            Playback(
                item.item_id,
                item.started_ms,
                np.concatenate([nothing, *item.played]),
                np.concatenate([nothing, *item.dropped, *(samples for _, samples in item.waiting)]),
            )
            for item in self._items.values()
            if item.started_ms is not None
        )
