"""faster-whisper without Antiphon: what it is held against."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import anyio
import ctranslate2
import faster_whisper
import numpy as np
from anyio import to_thread

from evals.decoding import decode
from evals.targets.base import Heard, Search
from schemas.audio import SESSION_RATE_HZ, Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import LanguageGuess, Word
from server.settings import EngineSettings

# Neither is typed throughout.
_ct2: Any = ctranslate2
_fw: Any = faster_whisper


_WINDOW_SAMPLES: Final = 30 * SESSION_RATE_HZ
_ONCE: Final = {"without_timestamps": True, "temperature": 0.0}


class BareWhisper:
    """``WhisperModel.transcribe`` in the whole window, one recording after the other.

    See :class:`evals.targets.base.Transcriber`.

    Args:
        folder: Of the model.
        settings: Device, compute type, threads.
        identity: Of the weights, and of the libraries that recognise.
        search: How it looks for words.
        seed: Of the sampling where decoding fails Whisper's own checks.
    """

    def __init__(self, folder: Path, settings: EngineSettings, *, identity: str, search: Search, seed: int) -> None:
        kind, _, index = settings.device.partition(":")
        _ct2.set_random_seed(seed)
        self._model: Any = _fw.WhisperModel(
            str(folder),
            device=kind,
            device_index=int(index or 0),
            compute_type=settings.compute_type,
            cpu_threads=settings.cpu_threads or 0,
            num_workers=1,
            local_files_only=True,
        )
        self._search = search
        self._one = anyio.CapacityLimiter(1)
        self.identity = (
            f"faster-whisper {identity} device={settings.device} compute={settings.compute_type} "
            f"threads={settings.cpu_threads or 0} {search} seed={seed}"
        )

    async def transcribe(self, audio: bytes, language: str | None, *, words: bool = False) -> Heard:
        """Decoding the file is not counted."""
        samples = await to_thread.run_sync(_decoded, audio)
        return await to_thread.run_sync(self._transcribe, samples, language, words, limiter=self._one)

    async def detect_language(self, audio: bytes) -> LanguageGuess | None:
        """By the first 30 s."""
        samples = await to_thread.run_sync(_decoded, audio)
        language, probability, _ = await to_thread.run_sync(self._model.detect_language, samples, limiter=self._one)
        return LanguageGuess(str(language), float(probability))

    def _transcribe(self, samples: Samples, language: str | None, words: bool) -> Heard:  # noqa: FBT001  by to_thread
        began = time.perf_counter()
        if self._search.once:
            # faster-whisper fills up the features with zeros, which are not those of silence.
            samples = np.pad(samples, (0, -len(samples) % _WINDOW_SAMPLES))
        segments, info = self._model.transcribe(
            samples,
            language=language,
            beam_size=self._search.beam,
            **(_ONCE if self._search.once else {}),
            condition_on_previous_text=False,
            word_timestamps=words,
        )
        found: list[Any] = list(segments)
        told = tuple(
            Word(str(word.word).strip(), float(word.start), float(word.end), float(word.probability))
            for segment in found
            for word in segment.words or ()
        )
        text = "".join(str(segment.text) for segment in found).strip()
        return Heard(text=text, language=str(info.language), words=told, took_s=time.perf_counter() - began)


def _decoded(audio: bytes) -> Samples:
    try:
        return decode(audio, None)
    except ValueError as error:
        raise SpeechError(ErrorCode.INVALID_AUDIO, f"The recording cannot be read: {error}") from error
