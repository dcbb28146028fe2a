"""A running Antiphon, by its typed tools and its speech endpoint: they tell more than the OpenAI audio API."""

from __future__ import annotations

import base64
import time
from typing import Any

import httpx
import msgspec

from evals.targets.base import Heard, Spoken
from evals.targets.http_errors import checked, told
from evals.targets.speech_stream import streamed_speech
from schemas.openai import VoiceList
from schemas.tools import DetectLanguageOutput, TranscribeOutput
from schemas.transcripts import LanguageGuess

_NAME = "Antiphon"


class AntiphonTranscriber:
    """The tools ``transcribe`` and ``detect_language``; see :class:`evals.targets.base.Transcriber`.

    Args:
        http: Has the server's address as its base, and a key where the server wants one.
        identity: What serves.
        beam: Of the search; 1 is greedy.
        model: Recognition model; empty for the server's default.
    """

    def __init__(self, http: httpx.AsyncClient, identity: str, *, beam: int, model: str = "") -> None:
        self._http = http
        self._beam = beam
        self._model = model or None
        self.identity = f"{identity} beam={beam} model={model}"

    async def transcribe(self, audio: bytes, language: str | None, *, words: bool = False) -> Heard:
        """The whole window, as uploads are recognised."""
        began = time.perf_counter()
        arguments = {
            "audio": base64.b64encode(audio).decode(),
            "language": language,
            "beam_size": self._beam,
            "model": self._model,
            "word_times": words,
            "whole": True,
        }
        found = msgspec.json.decode(await self._call("transcribe", arguments), type=TranscribeOutput)
        return Heard(text=found.text, language=found.language, words=found.words, took_s=time.perf_counter() - began)

    async def detect_language(self, audio: bytes) -> LanguageGuess | None:
        """The most probable."""
        arguments = {"audio": base64.b64encode(audio).decode(), "model": self._model}
        found = msgspec.json.decode(await self._call("detect_language", arguments), type=DetectLanguageOutput)
        return LanguageGuess(found.language, found.probability)

    async def _call(self, tool: str, arguments: dict[str, Any]) -> bytes:
        async with told(_NAME):
            response = await self._http.post(f"/v1/tools/{tool}", json=arguments)
        return (await checked(response, _NAME)).content


class AntiphonSynthesizer:
    """``POST /v1/audio/speech``, raw and as it comes; see :class:`evals.targets.base.Synthesizer`.

    Args:
        http: As of :class:`AntiphonTranscriber`.
        identity: What serves.
    """

    def __init__(self, http: httpx.AsyncClient, identity: str) -> None:
        self._http = http
        self.identity = identity

    async def voices(self, language: str) -> tuple[str, ...]:
        """Those of the server, its default first."""
        async with told(_NAME):
            response = await self._http.get("/v1/audio/voices")
        found = msgspec.json.decode((await checked(response, _NAME)).content, type=VoiceList)
        fitting = [voice for voice in found.data if voice.language.partition("-")[0] == language]
        return tuple(voice.id for voice in sorted(fitting, key=lambda voice: not voice.default))

    async def speak(self, text: str, *, voice: str | None, language: str) -> Spoken:  # noqa: ARG002  the voice has one
        """Raw PCM, piece by piece."""
        body = {"input": text, "response_format": "pcm", **({"voice": voice} if voice else {})}
        return await streamed_speech(self._http, body, _NAME)
