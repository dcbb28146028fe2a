"""Playout ledger: what the user really heard of one item.

The server knows what it sent; the client knows what its loudspeaker played, and says so in acknowledgements. Between
two of them the position moves with the clock, never past what was sent. Without any the position is an estimate, and
the result says so. Words carry their place in the text and in the audio, and a word counts as heard when it ended
before the position: a straddling word stays unheard, so that it is said again rather than lost.

Sans-I/O: times come in as microseconds of any monotonic clock.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from schemas.sessions import HeardSource
from schemas.speech import SpokenWord

MAX_EXTRAPOLATION_MS: Final = 1_000
"""How far past its last acknowledgement a client's position may be guessed: one that falls silent may be gone."""


ACK_TOLERANCE_MS: Final = 20
"""Clients count whole frames: a position this close to the end of the audio is the end."""


class Heard(Struct, frozen=True):
    """What came out of the loudspeaker."""

    text: str
    remaining: str
    heard_ms: int
    source: HeardSource


class PlayoutLedger:
    """The account of one item: text taken in, words and audio sent, positions acknowledged."""

    def __init__(self) -> None:
        self._text = ""
        self._words: list[SpokenWord] = []
        self._sent_ms = 0.0
        self._base_ms = 0.0
        """A position that was right at ``_base_us``."""
        self._base_us = 0
        self._acked_ms: float | None = None
        self._frozen = False
        self._final = False

    @property
    def text(self) -> str:
        """All the item's text."""
        return self._text

    @property
    def sent_ms(self) -> float:
        """Length of the audio sent."""
        return self._sent_ms

    @property
    def final(self) -> bool:
        """Whether the client reported its last position."""
        return self._final

    def add_text(self, text: str) -> None:
        """More text of the item."""
        self._text += text

    def add_words(self, words: tuple[SpokenWord, ...], *, text_offset: int, audio_offset_ms: float) -> None:
        """Words of an utterance that begins at these offsets in the item's text and audio."""
        offset_s = audio_offset_ms / 1000
        self._words.extend(
            SpokenWord(
                text=word.text,
                text_start=word.text_start + text_offset,
                text_end=word.text_end + text_offset,
                start_s=word.start_s + offset_s,
                end_s=word.end_s + offset_s,
            )
            for word in words
        )

    def add_audio(self, duration_ms: float, now_us: int) -> None:
        """Audio was sent. If all before it had been played, playback goes on from now."""
        self._base_ms = self.position_ms(now_us)
        self._base_us = now_us
        self._sent_ms += duration_ms

    def acknowledge(self, played_ms: int, now_us: int, *, final: bool) -> None:
        """The client reports its position. Positions beyond what was sent, or behind an earlier one, are trimmed."""
        if self._final:
            return
        position_ms = self._sent_ms if played_ms + ACK_TOLERANCE_MS >= self._sent_ms else float(played_ms)
        self._acked_ms = max(self._acked_ms or 0.0, position_ms)
        self._base_ms = self._acked_ms
        self._base_us = now_us
        self._final = final
        self._frozen = self._frozen or final

    def freeze(self, now_us: int) -> None:
        """The client was told to stop: the clock moves the position no more, an acknowledgement still can."""
        self._base_ms = self.position_ms(now_us)
        self._frozen = True

    def position_ms(self, now_us: int) -> float:
        """How much has been played by now."""
        if self._frozen:
            return self._base_ms
        elapsed_ms = (now_us - self._base_us) / 1000
        if self._acked_ms is not None:
            elapsed_ms = min(elapsed_ms, self._acked_ms + MAX_EXTRAPOLATION_MS - self._base_ms)
        return min(self._sent_ms, self._base_ms + max(0.0, elapsed_ms))

    def left_ms(self, now_us: int) -> float:
        """How much audio is sent and not yet played."""
        return self._sent_ms - self.position_ms(now_us)

    def heard(self, now_us: int, *, complete: bool) -> Heard:
        """The text split at the position. ``complete`` says that no more audio will follow: all played is all said."""
        position_ms = self.position_ms(now_us)
        source = HeardSource.ACKNOWLEDGED if self._acked_ms is not None else HeardSource.ESTIMATED
        cut = len(self._text) if complete and position_ms >= self._sent_ms else self._cut(position_ms)
        return Heard(self._text[:cut].rstrip(), self._text[cut:].lstrip(), int(position_ms), source)

    def _cut(self, position_ms: float) -> int:
        if self._words:
            return max((word.text_end for word in self._words if word.end_s * 1000 <= position_ms), default=0)
        if not self._sent_ms:
            return 0
        # An engine without word times: the share of the audio is the share of the text, back to a word's start.
        reached = int(len(self._text) * position_ms / self._sent_ms)
        return self._text.rfind(" ", 0, reached) + 1
