"""A user's loudspeaker, which knows to the sample what it really played. Sans-I/O: time is samples.

What the server *believes* was heard is measured against this. Audio waits in a buffer before it is first played, as in
any client that rides out a network; positions that are reported are those of the ear, not of the buffer.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from msgspec import Struct

from schemas.audio import SESSION_RATE_HZ, Samples

_SNAP_SAMPLES: Final = SESSION_RATE_HZ * 2 // 1000
"""Offsets on the wire are whole milliseconds: a piece that begins so close to the end of the last one follows it."""


class Played(Struct, frozen=True):
    """A stretch of an item that came out, without a break."""

    item_id: str
    clock_samples: int
    """When it began."""
    offset_samples: int
    """Where in the item it begins."""
    count: int
    gain: float


class _Item:
    def __init__(self, begun_samples: int) -> None:
        self.begun_samples = begun_samples
        """When its first audio arrived."""
        self.waiting: deque[tuple[int, Samples]] = deque()
        self.end_samples = 0
        """Of what arrived."""
        self.position_samples = 0
        """Of the next sample to play."""
        self.gain = 1.0
        self.started = False
        self.paused = False
        self.flushed = False


class Device:
    """Plays items in the order in which they came.

    Args:
        buffer_ms: How long the audio of an item waits before it is first played.
    """

    def __init__(self, buffer_ms: int) -> None:
        self._buffer_samples = buffer_ms * SESSION_RATE_HZ // 1000
        self._items: dict[str, _Item] = {}
        self.now_samples = 0
        """The clock: how much time has passed."""
        self.played: list[Played] = []

    def push(self, item_id: str, offset_ms: int, samples: Samples) -> None:
        """Audio of an item has arrived: ``float32, (n,)``, 16 kHz."""
        item = self._items.setdefault(item_id, _Item(self.now_samples))
        if item.flushed:
            return
        offset = offset_ms * SESSION_RATE_HZ // 1000
        if abs(offset - item.end_samples) <= _SNAP_SAMPLES:
            offset = item.end_samples
        item.waiting.append((offset, samples))
        item.end_samples = offset + len(samples)

    def play(self, n: int) -> Samples:
        """The next ``n`` samples that come out: ``float32, (n,)``."""
        frame = np.zeros(n, np.float32)
        filled = 0
        for item_id, item in self._items.items():
            if not self._may_play(item):
                if item.waiting or item.paused:
                    break
                continue
            while item.waiting and filled < n:
                offset, piece = item.waiting.popleft()
                now, later = piece[: n - filled], piece[n - filled :]
                if len(later):
                    item.waiting.appendleft((offset + len(now), later))
                frame[filled : filled + len(now)] = now * np.float32(item.gain)
                self._note(item_id, self.now_samples + filled, offset, len(now), item.gain)
                item.position_samples = offset + len(now)
                item.started = True
                filled += len(now)
            if item.waiting:
                break
        self.now_samples += n
        return frame

    def duck(self, item_id: str, gain_db: float) -> None:
        """Play it quieter."""
        if item := self._items.get(item_id):
            item.gain = 10 ** (gain_db / 20)

    def pause(self, item_id: str) -> int:
        """Stop, and keep what waits; returns the position in milliseconds."""
        if item := self._items.get(item_id):
            item.paused = True
        return self.position_ms(item_id)

    def resume(self, item_id: str, position_ms: int | None) -> None:
        """Go on at full volume; from a position on, what waits gives way to what will be sent again."""
        item = self._items.get(item_id)
        if item is None:
            return
        item.paused, item.gain = False, 1.0
        if position_ms is not None:
            limit = position_ms * SESSION_RATE_HZ // 1000
            item.waiting = deque((offset, piece[: limit - offset]) for offset, piece in item.waiting if offset < limit)
            item.end_samples = limit

    def flush(self, item_id: str) -> int:
        """Stop for good; returns the last position in milliseconds."""
        item = self._items.setdefault(item_id, _Item(self.now_samples))
        item.waiting.clear()
        item.flushed, item.paused = True, False
        return self.position_ms(item_id)

    def position_ms(self, item_id: str) -> int:
        """How far an item is, in whole milliseconds."""
        item = self._items.get(item_id)
        return item.position_samples * 1000 // SESSION_RATE_HZ if item else 0

    def is_audible(self, item_id: str) -> bool:
        """Whether the item is coming out."""
        item = self._items.get(item_id)
        return item is not None and item.started and bool(item.waiting) and not item.paused

    @property
    def is_silent(self) -> bool:
        """Whether nothing waits to be played."""
        return not any(item.waiting for item in self._items.values())

    def _may_play(self, item: _Item) -> bool:
        waited = self.now_samples - item.begun_samples >= self._buffer_samples
        return not item.paused and (item.started or waited) and bool(item.waiting)

    def _note(self, item_id: str, clock: int, offset: int, count: int, gain: float) -> None:
        last = self.played[-1] if self.played else None
        if (
            last is not None
            and (last.item_id, last.gain) == (item_id, gain)
            and last.clock_samples + last.count == clock
            and last.offset_samples + last.count == offset
        ):
            self.played[-1] = Played(item_id, last.clock_samples, last.offset_samples, last.count + count, gain)
        else:
            self.played.append(Played(item_id, clock, offset, count, gain))


class Coverage(Struct, frozen=True):
    """What became of an item's audio, from its start to the farthest place that was played."""

    unique_samples: int
    lost_samples: int
    """Skipped, and never played."""
    replayed_samples: int
    """Played again."""


def coverage(played: list[Played], item_id: str) -> Coverage:
    """How completely an item was played."""
    spans = sorted((one.offset_samples, one.offset_samples + one.count) for one in played if one.item_id == item_id)
    unique, lost, reached = 0, 0, 0
    for begin, end in spans:
        lost += max(0, begin - reached)
        unique += max(0, end - max(begin, reached))
        reached = max(reached, end)
    return Coverage(unique, lost, sum(end - begin for begin, end in spans) - unique)
