"""Any server with the OpenAI audio API."""

from __future__ import annotations

import time
from typing import Any, Final

import httpx
import msgspec
from msgspec import Struct

from evals.targets.base import Heard, Spoken
from evals.targets.http_errors import checked, told
from evals.targets.speech_stream import streamed_speech
from schemas.errors import ErrorCode, SpeechError
from schemas.language_names import LANGUAGE_NAMES
from schemas.transcripts import LanguageGuess, Word

_MODEL: Final = "whisper-1"
_SPEECH_MODEL: Final = "tts-1"
_VOICE: Final = "alloy"
_CODES: Final = {name: code for code, name in LANGUAGE_NAMES.items()}


class _Word(Struct, frozen=True):
    word: str
    start: float
    end: float
    probability: float | None = None
    """Not OpenAI's, but of several servers that are compatible."""


class _Transcription(Struct, frozen=True):
    text: str
    language: str | None = None
    words: tuple[_Word, ...] | None = None


class OpenAITranscriber:
    """``POST /v1/audio/transcriptions``; see :class:`evals.targets.base.Transcriber`.

    Args:
        http: Has the server's address as its base, and a key where the server wants one.
        identity: What serves.
        model: To ask for; empty for ``whisper-1``.
    """

    def __init__(self, http: httpx.AsyncClient, identity: str, *, model: str = "") -> None:
        self._http = http
        self._model = model or _MODEL
        self._name = str(http.base_url)
        self._is_verbose = True
        self.identity = f"{identity} model={self._model}"

    async def transcribe(self, audio: bytes, language: str | None, *, words: bool = False) -> Heard:
        """With a language and words, where the server has ``verbose_json``."""
        began = time.perf_counter()
        found = await self._ask(audio, language, words=words)
        sure = tuple(
            Word(word.word.strip(), word.start, word.end, word.probability)
            for word in found.words or ()
            if word.probability is not None
        )
        return Heard(
            text=found.text.strip(), language=_code(found.language), words=sure, took_s=time.perf_counter() - began
        )

    async def detect_language(self, audio: bytes) -> LanguageGuess | None:
        """What it says the language is, if it says so."""
        found = await self._ask(audio, None, words=False)
        return LanguageGuess(_code(found.language), 1.0) if found.language else None

    async def _ask(self, audio: bytes, language: str | None, *, words: bool) -> _Transcription:
        form: dict[str, Any] = {"model": self._model, "temperature": "0"}
        if language:
            form["language"] = language
        if self._is_verbose:
            try:
                granularity = "word" if words else "segment"
                extra = {"response_format": "verbose_json", "timestamp_granularities[]": granularity}
                return await self._post(audio, {**form, **extra})
            except SpeechError as error:
                if error.code is not ErrorCode.INVALID_REQUEST:
                    raise
        found = await self._post(audio, {**form, "response_format": "json"})
        # Some models of OpenAI have json only. A file that is refused in either form says nothing of them.
        self._is_verbose = False
        return found

    async def _post(self, audio: bytes, form: dict[str, Any]) -> _Transcription:
        async with told(self._name):
            response = await self._http.post(
                "/v1/audio/transcriptions", files={"file": (_named(audio), audio)}, data=form
            )
        content = (await checked(response, self._name)).content
        try:
            return msgspec.json.decode(content, type=_Transcription)
        except msgspec.DecodeError as error:
            raise SpeechError(ErrorCode.INTERNAL, f"{self._name} sent no transcription: {error}.") from error


class OpenAISynthesizer:
    """``POST /v1/audio/speech``; see :class:`evals.targets.base.Synthesizer`.

    Args:
        http: As of :class:`OpenAITranscriber`.
        identity: What serves.
        model: To ask for; empty for ``tts-1``.
    """

    def __init__(self, http: httpx.AsyncClient, identity: str, *, model: str = "") -> None:
        self._http = http
        self._model = model or _SPEECH_MODEL
        self.identity = f"{identity} model={self._model}"

    async def voices(self, language: str) -> tuple[str, ...]:  # noqa: ARG002  the API has no question for it
        """The one name that all of them know."""
        return (_VOICE,)

    async def speak(self, text: str, *, voice: str | None, language: str) -> Spoken:  # noqa: ARG002
        """Raw PCM, piece by piece."""
        body = {"model": self._model, "input": text, "voice": voice or _VOICE, "response_format": "pcm"}
        return await streamed_speech(self._http, body, str(self._http.base_url))


def _code(language: str | None) -> str:
    name = (language or "").lower()
    return _CODES.get(name, name)


_MAGIC: Final = ((b"fLaC", "flac"), (b"OggS", "ogg"), (b"RIFF", "wav"), (b"ID3", "mp3"), (b"\xff", "mp3"))


def _named(audio: bytes) -> str:
    """A file name: OpenAI's servers tell the format by it."""
    return next((f"audio.{ending}" for magic, ending in _MAGIC if audio.startswith(magic)), "audio.wav")
