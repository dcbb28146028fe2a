"""The places of all engines this process knows, and which of them a request means."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import anyio
from anyio.abc import TaskGroup
from msgspec.structs import replace

from engines.names import quoted, some
from engines.scheduler import Scheduler
from engines.slot import EngineSlot
from engines.spec import EngineSpec, HostSettings
from engines.voicebook import VoiceBook
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind, ModelStatus
from schemas.speech import Voice

_FRAME_MAX_QUEUED: Final = 1_024
"""VAD and turn detection take milliseconds and each session waits for its answer: room for so many sessions."""
_FRAME_TIMEOUT_S: Final = 30.0
"""An engine that takes so long over milliseconds of work is stuck."""
_VAD_TICK_S: Final = 0.004
"""An eighth of a frame: with hundreds of sessions that many frames gather, and a session alone never waits."""
_TITLES: Final = {
    ModelKind.ASR: "recognition",
    ModelKind.TTS: "synthesis",
    ModelKind.VAD: "voice activity",
    ModelKind.TURN_DETECTOR: "turn detection",
}


class EngineSlots:
    """A slot an engine, each with a scheduler of its own, found by name, by kind or by voice.

    Args:
        engines: What can be loaded, by name.
        settings: How to run it.
        tasks: Where loading runs.
        clock: Seconds, monotonic; for keep-alive.
    """

    def __init__(
        self,
        engines: Mapping[str, EngineSpec],
        settings: HostSettings,
        tasks: TaskGroup,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._tasks = tasks
        self._clock = clock
        self._loading = anyio.CapacityLimiter(1)
        self._slots = {name: self._slot_for(name, spec) for name, spec in engines.items()}
        self._defaults: dict[ModelKind, EngineSlot | None] = {}
        self.voices = self._voice_book(settings.voice)

    def __iter__(self) -> Iterator[EngineSlot]:
        return iter(self._slots.values())

    def of_voice(self, id_or_alias: str | None) -> EngineSlot:
        """The slot of the voice's engine.

        Raises:
            SpeechError: ``unknown_voice``, or ``model_not_installed`` if there is no voice at all.
        """
        return self._slots[self.voices[id_or_alias].model]

    def offer_voices(self, model: str, voices: Sequence[Voice]) -> None:
        """What a model speaks with from now on. A default of the settings that is gone is none any more.

        Raises:
            SpeechError: ``unknown_model`` or ``model_not_installed``.
        """
        slot = self.find(ModelKind.TTS, model)
        slot.spec = replace(slot.spec, voices=tuple(voices))
        default = self._settings.voice
        is_there = any(voice.id == default for each in self for voice in each.spec.voices)
        self.voices = self._voice_book(default if is_there else None)
        self._defaults.pop(ModelKind.TTS, None)

    def _voice_book(self, default: str | None) -> VoiceBook:
        specs = [slot.spec for slot in self if slot.spec.installed]
        return VoiceBook(
            [voice for spec in sorted(specs, key=lambda spec: not spec.default) for voice in spec.voices], default
        )

    def find(self, kind: ModelKind | None, name: str | None) -> EngineSlot:
        """The installed model of that name and kind; of no name, the default of the kind.

        Raises:
            SpeechError: ``unknown_model`` or ``model_not_installed``.
        """
        if name is None:
            assert kind is not None
            if (default := self.default(kind)) is None:
                message = f"No {_TITLES[kind]} model is installed. Run: antiphon models pull --default"
                raise SpeechError(ErrorCode.MODEL_NOT_INSTALLED, message)
            return default
        of_kind = {key: slot for key, slot in self._slots.items() if kind in {None, slot.spec.kind}}
        if name not in of_kind:
            known = some([key for key, slot in of_kind.items() if slot.spec.installed])
            what = "model" if kind is None else f"{_TITLES[kind]} model"
            message = f"There is no {what} {quoted(name)}. There is: {known}."
            raise SpeechError(ErrorCode.UNKNOWN_MODEL, message, param="model")
        slot = of_kind[name]
        if not slot.spec.installed:
            message = f"The model {name} is not installed. Run: antiphon models pull {name}"
            raise SpeechError(ErrorCode.MODEL_NOT_INSTALLED, message, param="model")
        return slot

    def default(self, kind: ModelKind) -> EngineSlot | None:
        """What is used where a request names no model.

        Raises:
            SpeechError: ``unknown_model`` or ``model_not_installed`` if the settings name one that is not there.
        """
        if kind not in self._defaults:
            self._defaults[kind] = self._default(kind)
        return self._defaults[kind]

    def status(self, slot: EngineSlot) -> ModelStatus:
        """What a model is and whether it is in memory."""
        return ModelStatus(
            name=slot.name,
            kind=slot.spec.kind,
            engine=slot.spec.engine,
            title=slot.spec.title,
            licence=slot.spec.licence,
            languages=slot.spec.languages,
            sample_rate_hz=slot.spec.sample_rate_hz,
            installed=slot.spec.installed,
            loaded=slot.loaded,
            resident_bytes=slot.resident_bytes,
            default=slot is self.default(slot.spec.kind),
            fingerprint=slot.spec.fingerprint,
        )

    def _default(self, kind: ModelKind) -> EngineSlot | None:
        if kind is ModelKind.TTS:
            return self.of_voice(None) if self.voices.voices else None
        set_names = {ModelKind.ASR: self._settings.asr_model, ModelKind.TURN_DETECTOR: self._settings.turn_detector}
        if (name := set_names.get(kind)) is not None:
            return self.find(kind, name)
        candidates = [slot for slot in self if slot.spec.kind is kind and slot.spec.installed]
        return min(candidates, key=lambda slot: not slot.spec.default, default=None)

    def _slot_for(self, name: str, spec: EngineSpec) -> EngineSlot:
        is_quick = spec.kind in {ModelKind.VAD, ModelKind.TURN_DETECTOR}
        max_queued = _FRAME_MAX_QUEUED if is_quick else self._settings.max_queued
        return EngineSlot(
            name,
            spec,
            Scheduler(
                name,
                max_queued=max_queued,
                max_queued_audio_s=self._settings.max_queued_audio_s,
                grace_s=self._settings.grace_s,
                timeout_s=_FRAME_TIMEOUT_S if is_quick else math.inf,
                tick_s=_VAD_TICK_S if spec.kind is ModelKind.VAD else 0.0,
            ),
            tasks=self._tasks,
            loading=self._loading,
            load_timeout_s=self._settings.load_timeout_s,
            max_waiting=max_queued,
            clock=self._clock,
        )
