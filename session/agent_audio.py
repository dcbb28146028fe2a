"""What the agent said, as audio: the newest of a session, in memory alone.

Each piece stands beside its ``say.audio`` event, whose number it is found by; those of one item are also read together.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from schemas.errors import ErrorCode, SpeechError
from schemas.events import SayAudio

AUDIO_KEPT_BYTES: Final = 4 * 1024 * 1024
"""80 s of audio at 24 kHz."""
_SAMPLE_BYTES: Final = 2


class _Piece(Struct, frozen=True, eq=False):
    item_id: str
    end_ms: int
    pcm: bytes


class AgentAudio:
    """The newest pieces, :data:`AUDIO_KEPT_BYTES` of them; a single one is kept whatever its size."""

    def __init__(self) -> None:
        self._pieces: OrderedDict[int, _Piece] = OrderedDict()
        self._bytes = 0
        self._lost_ms: dict[str, int] = {}
        """How much of an item's beginning is no longer kept."""

    def keep(self, seq: int, event: SayAudio, pcm: bytes) -> None:
        """Take the audio of an event; the oldest goes to make room.

        Args:
            seq: The event's number.
            event: Says where the piece belongs.
            pcm: 16-bit mono PCM.
        """
        self._pieces[seq] = _Piece(event.item_id, event.offset_ms + event.duration_ms, pcm)
        self._bytes += len(pcm)
        while self._bytes > AUDIO_KEPT_BYTES and len(self._pieces) > 1:
            _, oldest = self._pieces.popitem(last=False)
            self._bytes -= len(oldest.pcm)
            self._lost_ms[oldest.item_id] = oldest.end_ms

    def piece(self, seq: int) -> bytes | None:
        """The audio of one event; ``None`` if it has none, or it is gone."""
        piece = self._pieces.get(seq)
        return None if piece is None else piece.pcm

    def of_item(self, item_id: str, rate_hz: int, start_ms: int = 0, end_ms: int | None = None) -> bytes:
        """The audio of an item so far, or a part of it: 16-bit mono PCM, empty where there is none.

        Args:
            item_id: Whose.
            rate_hz: Of the audio.
            start_ms: Where to begin.
            end_ms: Where to end; ``None`` for all there is.

        Raises:
            SpeechError: ``audio_expired`` if what is wanted begins before what is still kept.
        """
        kept_from_ms = self._lost_ms.get(item_id, 0)
        if start_ms < kept_from_ms:
            raise SpeechError(
                ErrorCode.AUDIO_EXPIRED,
                f"The first {kept_from_ms} ms of this item's audio are no longer kept. Read it from "
                f"start_ms={kept_from_ms}.",
                param="start_ms",
            )
        pcm = b"".join(piece.pcm for piece in self._pieces.values() if piece.item_id == item_id)
        end = None if end_ms is None else _bytes_of(end_ms - kept_from_ms, rate_hz)
        return pcm[_bytes_of(start_ms - kept_from_ms, rate_hz) : end]


def _bytes_of(duration_ms: int, rate_hz: int) -> int:
    return _SAMPLE_BYTES * (max(0, duration_ms) * rate_hz // 1_000)
