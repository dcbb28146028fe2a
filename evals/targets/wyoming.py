"""A server of the Wyoming protocol: recognition."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any, Final

import anyio

from evals.decoding import decode
from evals.targets.base import Heard
from evals.targets.http_errors import no_answer
from schemas.audio import SESSION_RATE_HZ, pcm16_from_float
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import LanguageGuess

_TIMEOUT_S: Final = 300.0
_CHUNK_BYTES: Final = 32_000


class WyomingTranscriber:
    """See :class:`evals.targets.base.Transcriber`. It tells a text and nothing else.

    Args:
        place: ``HOST:PORT``.
        identity: What serves.

    Raises:
        SpeechError: ``missing_extra``.
    """

    def __init__(self, place: str, identity: str) -> None:
        host, _, port = place.rpartition(":")
        self._place = (host, int(port))
        self.identity = identity
        try:
            self._asr: Any = import_module("wyoming.asr")
            self._audio: Any = import_module("wyoming.audio")
            self._client: Any = import_module("wyoming.client")
        except ImportError as error:
            raise SpeechError(
                ErrorCode.MISSING_EXTRA, "Targets of the Wyoming protocol need a library. Run: pip install wyoming"
            ) from error

    async def transcribe(self, audio: bytes, language: str | None, *, words: bool = False) -> Heard:  # noqa: ARG002
        """The whole recording at once, 16 kHz."""
        pcm = pcm16_from_float(await anyio.to_thread.run_sync(decode, audio, None))
        form = {"rate": SESSION_RATE_HZ, "width": 2, "channels": 1}
        began = time.perf_counter()
        try:
            with anyio.fail_after(_TIMEOUT_S):
                async with self._client.AsyncTcpClient(*self._place) as client:
                    await client.write_event(self._asr.Transcribe(language=language).event())
                    await client.write_event(self._audio.AudioStart(**form).event())
                    for start in range(0, len(pcm), _CHUNK_BYTES):
                        chunk = self._audio.AudioChunk(audio=pcm[start : start + _CHUNK_BYTES], **form)
                        await client.write_event(chunk.event())
                    await client.write_event(self._audio.AudioStop().event())
                    while (event := await client.read_event()) is not None:
                        if self._asr.Transcript.is_type(event.type):
                            text = str(self._asr.Transcript.from_event(event).text).strip()
                            return Heard(text=text, took_s=time.perf_counter() - began)
        except (OSError, TimeoutError) as error:
            name = ":".join(map(str, self._place))
            raise no_answer(f"{name} does not answer", error) from error
        raise SpeechError(ErrorCode.INTERNAL, "The server ended the connection without a transcript.")

    async def detect_language(self, audio: bytes) -> LanguageGuess | None:  # noqa: ARG002
        """It cannot tell."""
        return None
