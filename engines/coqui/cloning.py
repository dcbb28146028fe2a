"""Voices of people, added to and taken from a running server."""

from __future__ import annotations

import secrets
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from engines.coqui.cloned_voices import Consent, add_voice, read_voices, remove_voice
from engines.host import EngineHost
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelStatus
from schemas.speech import Voice

_ENGINE: Final = "coqui_xtts"
_VOICES_MAX: Final = 100
"""Of one tenant."""
_NAME_CHARS: Final = 48
"""Of a name, in an id that has an ending."""
_HOW_TO_INSTALL: Final = "antiphon models pull xtts-v2 --from FOLDER --accept-licence"


class VoiceCloning:
    """The voices in a folder, and a host that is told of each change.

    Args:
        folder: Of all voices: :func:`engines.coqui.cloned_voices.voices_dir`.
        host: Whose model speaks them.
    """

    def __init__(self, folder: Path, host: EngineHost) -> None:
        self._folder = folder
        self._host = host
        self._changing = anyio.Lock()

    def check(self) -> None:
        """Whether voices can be cloned here.

        Raises:
            SpeechError: ``missing_extra`` or ``model_not_installed``, with what to install.
        """
        self._model()

    async def add(self, name: str, samples: Samples, consent: Consent) -> Voice:
        """Keep a voice, which can be spoken with from then on.

        Args:
            name: Its id. That of a tenant's voice has a random ending: whether a name is free would tell of the others.
            samples: The recording, ``float32, (n,)``, at 22 050 Hz.
            consent: Whose voice it is, and what they allowed.

        Raises:
            SpeechError: As :meth:`check` and :func:`engines.coqui.cloned_voices.add_voice`; ``invalid_request`` also
                for the name of a voice that is not in the folder; ``quota_exceeded``.
        """
        model = self._model()
        voice_id = name if consent.tenant is None else f"{name[:_NAME_CHARS]}-{secrets.token_hex(4)}"
        async with self._changing:
            voices = self._host.voices()
            if any(voice_id in {voice.id, *voice.aliases} for voice in voices):
                raise SpeechError(
                    ErrorCode.INVALID_REQUEST, f"There is a voice {name} already. Choose another name.", param="name"
                )
            if sum(voice.cloned and voice.tenant == consent.tenant for voice in voices) >= _VOICES_MAX:
                raise SpeechError(
                    ErrorCode.QUOTA_EXCEEDED, f"{_VOICES_MAX} voices are kept at most. Delete one.", param="name"
                )
            await to_thread.run_sync(add_voice, self._folder, voice_id, samples, consent)
            await self._tell(model)
        return next(voice for voice in self._host.voices() if voice.id == voice_id)

    async def remove(self, name: str) -> None:
        """Delete a voice, its recording and its consent.

        Raises:
            SpeechError: As :meth:`check`; ``unknown_voice`` if none of that name was cloned.
        """
        model = self._model()
        async with self._changing:
            if not await to_thread.run_sync(remove_voice, self._folder, name):
                raise SpeechError(
                    ErrorCode.UNKNOWN_VOICE, f"No voice {name[:64]!r} was cloned on this server.", param="voice"
                )
            await self._tell(model)

    async def _tell(self, model: ModelStatus) -> None:
        read = partial(read_voices, self._folder, model=model.name, sample_rate_hz=model.sample_rate_hz)
        self._host.offer_voices(model.name, await to_thread.run_sync(read))

    def _model(self) -> ModelStatus:
        installed = [model for model in self._host.models() if model.engine == _ENGINE and model.installed]
        if find_spec("TTS") is None:
            raise SpeechError(
                ErrorCode.MISSING_EXTRA,
                f"Voices are cloned by XTTS, an extra. Run: pip install 'antiphon[coqui]', then: {_HOW_TO_INSTALL}",
            )
        if not installed:
            raise SpeechError(
                ErrorCode.MODEL_NOT_INSTALLED,
                f"Voices are cloned by XTTS, which is not installed. Run: {_HOW_TO_INSTALL}",
            )
        return installed[0]
