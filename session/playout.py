"""Playout ledger: what the user really heard of one item.

The server knows what it sent; the client knows what its loudspeaker played, and says so in acknowledgements. Between
two of them the position moves with the clock, never past what was sent. Without any the position is an estimate, and
the result says so. Words carry their place in the text and in the audio, and a word counts as heard when it ended
before what has reached the ear: a straddling word stays unheard, so that it is said again rather than lost.

A *position* is a place in the item's audio. It goes back once, when a paused item resumes at the start of the word it
was paused in; what was heard does not.

Sans-I/O: times come in as microseconds of any monotonic clock.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from schemas.sessions import AgentWord, HeardSource, WordHeard
from schemas.speech import SpokenWord

MAX_EXTRAPOLATION_MS: Final = 1_000
"""How far past its last acknowledgement a client's position may be guessed: one that falls silent may be gone."""
ACK_DUE_MS: Final = 1_000
"""A client that acknowledges is expected to do so more often than this while it plays."""
ACK_TOLERANCE_MS: Final = 20
"""Clients count whole frames: a position this close to the end of the audio is the end."""


class Heard(Struct, frozen=True):
    """What came out of the loudspeaker."""

    text: str
    remaining: str
    heard_ms: int
    source: HeardSource
    words: tuple[AgentWord, ...]


class PlayoutLedger:
    """The account of one item: text taken in, words and audio sent, positions acknowledged.

    Args:
        output_latency_ms: From the client's position to the ear.
    """

    def __init__(self, output_latency_ms: int = 0) -> None:
        self._output_latency_ms = output_latency_ms
        self._text = ""
        self._words: list[SpokenWord] = []
        self._sent_ms = 0.0
        self._sent_once_ms = 0.0
        self._base_ms = 0.0
        """A position that was right at ``_base_us``."""
        self._base_us = 0
        self._acked_ms: float | None = None
        self._ack_awaited_us = 0
        """Since when the next acknowledgement is awaited."""
        self._reached_ms = 0.0
        """How far playback had come before it went back."""
        self._frozen = False
        self._final = False

    @property
    def text(self) -> str:
        """All the item's text."""
        return self._text

    @property
    def sent_ms(self) -> float:
        """Place up to which audio was sent, counted again from where the item was resumed."""
        return self._sent_ms

    @property
    def duration_ms(self) -> float:
        """Length of all audio that was ever sent."""
        return self._sent_once_ms

    @property
    def final(self) -> bool:
        """Whether the client reported its last position."""
        return self._final

    @property
    def acknowledged_ms(self) -> int | None:
        """The client's last report; ``None`` if there was none."""
        return None if self._acked_ms is None else int(self._acked_ms)

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
        if self._acked_ms is not None and self._acked_ms >= self._sent_ms:
            self._ack_awaited_us = now_us
        self._base_ms = self.position_ms(now_us)
        self._base_us = now_us
        self._sent_ms += duration_ms
        self._sent_once_ms = max(self._sent_once_ms, self._sent_ms)

    def acknowledge(self, played_ms: int, now_us: int, *, final: bool) -> None:
        """The client reports its position. Positions beyond what was sent, or behind an earlier one, are trimmed."""
        if self._final:
            return
        position_ms = self._sent_ms if played_ms + ACK_TOLERANCE_MS >= self._sent_ms else float(played_ms)
        self._acked_ms = max(self._acked_ms or 0.0, position_ms)
        self._ack_awaited_us = now_us
        self._base_ms = self._acked_ms
        self._base_us = now_us
        self._final = final
        self._frozen = self._frozen or final

    def freeze(self, now_us: int) -> None:
        """The client was told to stand still: the clock moves the position no more, an acknowledgement still can."""
        self._base_ms = self.position_ms(now_us)
        self._frozen = True

    def resume(self, now_us: int) -> int:
        """Playback goes on at the start of the word it was paused in; returns that place, in milliseconds.

        Audio from there on counts as not sent.
        """
        position_ms = self.position_ms(now_us)
        self._reached_ms = max(self._reached_ms, position_ms)
        place_ms = int(self._word_start_ms(position_ms))
        self._sent_ms = min(self._sent_ms, float(place_ms))
        if self._acked_ms is not None:
            self._acked_ms = self._sent_ms
        self._base_ms, self._base_us, self._ack_awaited_us = self._sent_ms, now_us, now_us
        self._frozen = self._final
        return place_ms

    def position_ms(self, now_us: int) -> float:
        """How far playback is by now."""
        if self._frozen:
            return self._base_ms
        elapsed_ms = (now_us - self._base_us) / 1000
        if self._acked_ms is not None:
            elapsed_ms = min(elapsed_ms, self._acked_ms + MAX_EXTRAPOLATION_MS - self._base_ms)
        return min(self._sent_ms, self._base_ms + max(0.0, elapsed_ms))

    def left_ms(self, now_us: int) -> float:
        """How much audio is sent and not yet played."""
        return self._sent_ms - self.position_ms(now_us)

    def is_stalled(self, now_us: int) -> bool:
        """Whether a client that acknowledges owes one: it should be playing, and has not said so for long."""
        if self._acked_ms is None or self._frozen or self._acked_ms >= self._sent_ms:
            return False
        return now_us - self._ack_awaited_us >= ACK_DUE_MS * 1000

    def is_played(self, now_us: int) -> bool:
        """Whether all that was sent was played: by its own account, where the client gives one and does not stall."""
        if self._acked_ms is not None and self._acked_ms < self._sent_ms and not self.is_stalled(now_us):
            return False
        return self.left_ms(now_us) <= 0

    def heard(self, now_us: int, *, complete: bool) -> Heard:
        """The text split at what was heard. ``complete``: no more audio will follow, and all played is all said."""
        position_ms = self.position_ms(now_us)
        source = HeardSource.ACKNOWLEDGED if self._acked_ms is not None else HeardSource.ESTIMATED
        if complete and position_ms >= self._sent_ms:
            ear_ms, cut = int(self._sent_once_ms), len(self._text)
        else:
            ear_ms = int(max(0.0, max(self._reached_ms, position_ms) - self._output_latency_ms))
            cut = self._cut(ear_ms)
        words = tuple(
            AgentWord(
                text=word.text,
                start_ms=_ms(word.start_s),
                end_ms=_ms(word.end_s),
                heard=_heard(word, ear_ms, whole=cut >= len(self._text)),
            )
            for word in self._words
            if word.start_s * 1000 < self._sent_once_ms
        )
        return Heard(self._text[:cut].rstrip(), self._text[cut:].lstrip(), ear_ms, source, words)

    def words_between(self, start_ms: float, end_ms: float) -> str:
        """What is said there; all the text, if the voice does not know when it says what."""
        if not self._words:
            return self._text
        return " ".join(
            word.text for word in self._words if start_ms <= word.end_s * 1000 and word.start_s * 1000 < end_ms
        )

    def _cut(self, ear_ms: int) -> int:
        if self._words:
            return max((word.text_end for word in self._words if _ms(word.end_s) <= ear_ms), default=0)
        if not self._sent_once_ms:
            return 0
        # An engine without word times: the share of the audio is the share of the text, back to a word's start.
        reached = int(len(self._text) * ear_ms / self._sent_once_ms)
        return self._text.rfind(" ", 0, reached) + 1

    def _word_start_ms(self, position_ms: float) -> float:
        """The start of the word that is spoken at a position; itself between words, and where nobody knows."""
        for word in self._words:
            if word.start_s * 1000 < position_ms < word.end_s * 1000:
                return word.start_s * 1000
        return position_ms


def _ms(time_s: float) -> int:
    # Whole milliseconds, as they are told: a word that is told to end where hearing ended was heard.
    return round(time_s * 1000)


def _heard(word: SpokenWord, ear_ms: int, *, whole: bool) -> WordHeard:
    if whole or _ms(word.end_s) <= ear_ms:
        return WordHeard.HEARD
    return WordHeard.PARTIAL if _ms(word.start_s) < ear_ms else WordHeard.UNHEARD
