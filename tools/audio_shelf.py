"""Audio that results refer to instead of holding it: what a model cannot hear only fills its context."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from typing import Final

from cachetools import TTLCache
from msgspec import Struct

from schemas.errors import ErrorCode, SpeechError

SHELF_BYTES: Final = 128 * 1024 * 1024
SHELF_S: Final = 600.0


class ShelvedAudio(Struct, frozen=True, eq=False):
    """A file on the shelf."""

    audio_id: str
    data: bytes
    content_type: str
    """MIME type."""


def _size_bytes(file: ShelvedAudio) -> float:
    return len(file.data)


class _Files(TTLCache[tuple[str, str], ShelvedAudio]):
    """Files by tenant and id. Who has the most makes room: nobody can drive out what others have."""

    def popitem(self) -> tuple[tuple[str, str], ShelvedAudio]:
        with self.timer:
            sizes: Counter[str] = Counter()
            for (tenant, _), file in self.items():
                sizes[tenant] += len(file.data)
            largest = max(sizes, key=sizes.__getitem__)
            oldest = next(key for key in self if key[0] == largest)
            return oldest, self.pop(oldest)


class AudioShelf:
    """The newest files, :data:`SHELF_BYTES` of them, each for :data:`SHELF_S`."""

    def __init__(self) -> None:
        self._files = _Files(SHELF_BYTES, SHELF_S, timer=time.monotonic, getsizeof=_size_bytes)

    def put(self, tenant: str, data: bytes, content_type: str) -> ShelvedAudio:
        """Keep a file for a while, for one tenant.

        Raises:
            SpeechError: ``audio_too_long`` if it is larger than the whole shelf.
        """
        file = ShelvedAudio(f"aud_{secrets.token_urlsafe(16)}", data, content_type)  # 128 bits: cannot be guessed
        try:
            self._files[tenant, file.audio_id] = file
        except ValueError as error:
            raise SpeechError(
                ErrorCode.AUDIO_TOO_LONG,
                f"The audio has {len(data)} bytes, and links are kept for up to {SHELF_BYTES} in all. Ask for a "
                "compressed format, such as mp3, or for base64.",
                param="audio_as",
            ) from error
        return file

    def get(self, tenant: str, audio_id: str) -> ShelvedAudio:
        """A tenant's file.

        Raises:
            SpeechError: ``audio_expired`` if there is none of that id, or no more.
        """
        file = self._files.get((tenant, audio_id))
        if file is None:
            raise SpeechError(
                ErrorCode.AUDIO_EXPIRED,
                f"There is no audio {audio_id[:64]!r}, or no more: links are kept for {SHELF_S / 60:g} minutes. Call "
                "synthesize again.",
                param="audio_id",
            )
        return file
