"""What the user's microphone may hear of the agent: its audio as the client was told to play it, and its words."""

from __future__ import annotations

import re
import unicodedata
from difflib import SequenceMatcher
from typing import Final

from engines.codec.resampler import Resampler
from schemas.audio import SESSION_RATE_HZ, Samples, float_from_pcm16
from schemas.events import PlaybackFlush, PlaybackPause, PlaybackResume, SayAudio, ServerEvent
from session.echo import EchoDetector

SAME: Final = 0.75
"""Share of the words heard that the agent said, in their order, from which they are the agent's: a recogniser hears the
echo of a word cut short, too, and hears it wrong."""

_WORD: Final = re.compile(r"[^\W_]+")


class EchoReference:
    """Of one session: follows the events that go to the client.

    Args:
        rate_hz: Of the audio in them.
        is_on: Whether the client may send an echo at all.
    """

    def __init__(self, rate_hz: int, *, is_on: bool) -> None:
        self._is_on = is_on
        self._resampler = Resampler(rate_hz, SESSION_RATE_HZ)
        self._detector = EchoDetector()

    def follow(self, event: ServerEvent, pcm: bytes | None) -> None:
        """The client is told so, with this audio."""
        if not self._is_on:
            return
        match event:
            case SayAudio() if pcm is not None:
                self._detector.sent(self._resampler.push(float_from_pcm16(pcm)))
            case PlaybackPause():
                self._detector.paused()
            case PlaybackResume() if event.position_ms is not None:
                self._detector.resumed()
            case PlaybackFlush():
                self._detector.flushed()
            case _:
                pass

    def explained(self, frame: Samples) -> float | None:
        """The share of a frame's energy that is the agent's own voice; ``None`` while nobody knows."""
        if not self._is_on:
            return 0.0
        explained = self._detector.explained(frame)
        return explained if self._detector.is_known else None

    @property
    def without_echo(self) -> Samples | None:
        """The frame before the last one, less the agent's voice; ``None`` if there is none of it in that."""
        return self._detector.without_echo

    def is_own(self, heard: str, said: str) -> bool:
        """Whether words heard over the agent may be its own, given what it said lately."""
        if not self._is_on or (self._detector.is_known and not self._detector.has_echo):
            return False
        heard_words, said_words = _words(heard), _words(said)
        if not heard_words:
            return False
        blocks = SequenceMatcher(None, heard_words, said_words, autojunk=False).get_matching_blocks()
        return sum(block.size for block in blocks) >= SAME * len(heard_words)


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFC", text).casefold())
