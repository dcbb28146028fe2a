"""Voices without a server: an engine of this process."""

from __future__ import annotations

import time

import numpy as np

from engines.host import EngineHost
from evals.targets.base import Spoken
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError


class BareVoices:
    """The voices of a model, piece by piece as they come. See :class:`evals.targets.base.Synthesizer`.

    Args:
        host: Has the model.
        model: The catalog's name.
        identity: Of the weights, and of this installation.
    """

    def __init__(self, host: EngineHost, model: str, identity: str) -> None:
        self._host = host
        self._model = model
        self.identity = f"voices of {identity}"

    async def voices(self, language: str) -> tuple[str, ...]:
        """Those of the model."""
        fitting = [voice for voice in self._host.voices() if voice.model == self._model]
        return tuple(voice.id for voice in fitting if voice.language.partition("-")[0] == language)

    async def speak(self, text: str, *, voice: str | None, language: str) -> Spoken:
        """At the voice's own rate."""
        chosen = voice or next(iter(await self.voices(language)), None)
        if chosen is None:
            raise SpeechError(ErrorCode.UNKNOWN_VOICE, f"{self._model} has no voice for {language}.", param="voice")
        pieces: list[Samples] = []
        arrivals: list[tuple[float, float]] = []
        rate_hz, spoken = self._host.voice(chosen).sample_rate_hz, 0
        began = time.perf_counter()
        async with self._host.synthesize(text, voice=chosen) as chunks:
            async for chunk in chunks:
                pieces.append(chunk.samples)
                spoken += len(chunk.samples)
                arrivals.append((time.perf_counter() - began, spoken / rate_hz))
        if not spoken:
            raise SpeechError(ErrorCode.NO_AUDIO, f"{chosen} said nothing.")
        return Spoken(samples=np.concatenate(pieces), rate_hz=rate_hz, arrivals=tuple(arrivals))
