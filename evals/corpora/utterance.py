"""One recording of a corpus, with what is known of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct

from evals.cache import digest
from evals.decoding import decode, wav
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError

UNDETERMINED: Final = "und"
"""The language of what has none, or none that is known (ISO 639-2)."""


class Utterance(Struct, frozen=True, kw_only=True):
    """A recording."""

    id: str
    """Unique in its corpus, and the same in every run: by it results of two runs are paired."""
    audio: Path | bytes
    """A file, or what is in one."""
    text: str | None = None
    """What is said in it: nothing if empty, unknown if ``None``."""
    language: str = UNDETERMINED
    """ISO 639-1."""
    kind: str = "utterance"
    """``utterance``, ``dialogue``, ``noise``, ``silence``, ``rir`` …"""
    speaker: str = ""
    """Whoever speaks; what one speaker says is not independent. Empty if unknown: then each stands for itself."""
    duration_s: float = 0.0
    """0 if unknown."""
    channel: int | None = None
    """The one that it is of; ``None`` takes the file as it is, all channels mixed."""
    snr_db: float | None = None
    entities: tuple[str, ...] = ()
    """Names and terms within it that matter."""

    @property
    def block(self) -> str:
        """What is drawn together when results are resampled."""
        return self.speaker or self.id

    def content(self) -> bytes:
        """A file to send: as it is, or a WAV of the one channel.

        Raises:
            SpeechError: ``not_found``, ``invalid_audio``.
        """
        if self.channel is not None:
            return wav(self.samples())
        if isinstance(self.audio, bytes):
            return self.audio
        try:
            return self.audio.read_bytes()
        except OSError as error:
            raise SpeechError(ErrorCode.NOT_FOUND, f"The corpus lacks the recording of {self.id}.") from error

    def samples(self) -> Samples:
        """``float32, (n,)``, 16 kHz.

        Raises:
            SpeechError: ``invalid_audio``.
        """
        try:
            return decode(self.audio, self.channel)
        except (OSError, ValueError) as error:
            raise SpeechError(ErrorCode.INVALID_AUDIO, f"The recording of {self.id} cannot be read: {error}") from error

    def fingerprint(self) -> str:
        """SHA-256 of what would be sent."""
        return digest(self.content())
