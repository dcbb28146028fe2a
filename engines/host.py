"""The engines of this process: the one thing that sessions, tools and the server see of recognition and synthesis.

Engines are loaded when they are first used, once, and unloaded when they have been idle for long enough. Each has a
:class:`~engines.scheduler.Scheduler` of its own, so that a busy synthesis does not hold up recognition.

``deadline_s`` is everywhere a point in time on the clock of ``anyio.current_time()``, not a duration.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Final, Self, TypeVar, cast

import anyio
import numpy as np
from anyio import to_thread
from msgspec.structs import replace
from numpy.typing import NDArray

from engines.base import Asr, AsrJob, AsrOptions, Cancellation, Tts, TtsJob, TurnDetector, Vad, VadState
from engines.memory import give_back_freed_memory
from engines.names import quoted, some
from engines.scheduler import Priority, Scheduler, SchedulerStats
from engines.slot import EngineSlot
from engines.spec import EngineSpec, HostSettings
from engines.voicebook import VoiceBook
from schemas.audio import SESSION_RATE_HZ, Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind, ModelStatus
from schemas.speech import SpeechChunk, Voice
from schemas.transcripts import LanguageGuess, Segment, Transcript, language_code

T = TypeVar("T")

_FRAME_MAX_QUEUED: Final = 256
"""VAD and turn detection take milliseconds and each session waits for its answer: room for so many sessions."""
_FRAME_TIMEOUT_S: Final = 30.0
"""An engine that takes so long over milliseconds of work is stuck."""
_TITLES: Final = {
    ModelKind.ASR: "recognition",
    ModelKind.TTS: "synthesis",
    ModelKind.VAD: "voice activity",
    ModelKind.TURN_DETECTOR: "turn detection",
}


_TURN_MAX_S: Final = 30
"""Longer audio takes more than one window of recognition: nobody waits for it in a conversation."""
_REST_S: Final = 3.0
"""Longer than the pauses of a conversation."""


class EngineHost:
    """Runs engines for many callers. An async context manager; all methods are called on the event loop.

    Args:
        engines: By name: from :func:`engines.installed.installed_engines` or :func:`engines.fake.fake_engines`.
        settings: How to run them.
        clock: Seconds, monotonic; for keep-alive.
        sleep: Waits seconds; for keep-alive.
    """

    def __init__(
        self,
        engines: Mapping[str, EngineSpec],
        settings: HostSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._stack = AsyncExitStack()
        self._tasks = anyio.create_task_group()
        self._loading = anyio.CapacityLimiter(1)
        self._slots = {name: self._slot_for(name, spec) for name, spec in engines.items()}
        self._voices = VoiceBook(self._installed_voices(), settings.voice)

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._tasks)
        for slot in self._slots.values():
            await self._stack.enter_async_context(slot.scheduler)
        if self._settings.keep_alive_s is not None:
            self._tasks.start_soon(self._unload_idle_engines, self._settings.keep_alive_s)
        self._tasks.start_soon(self._give_back_memory)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as closing:
                for slot in self._slots.values():
                    closing.start_soon(slot.scheduler.aclose)
            for slot in self._slots.values():
                if not slot.scheduler.busy:
                    await slot.free()
        self._tasks.cancel_scope.cancel()
        return await self._stack.__aexit__(kind, error, trace)

    async def transcribe(
        self,
        samples: Samples,
        options: AsrOptions,
        *,
        model: str | None = None,
        priority: Priority | None = None,
        deadline_s: float | None = None,
    ) -> Transcript:
        """The text of 16 kHz audio.

        Without a ``priority``, audio as short as a turn goes first and longer audio last: it is a file.

        Raises:
            SpeechError: ``unknown_model``, ``model_not_installed``, ``unsupported_language``, ``overloaded``,
                ``deadline_exceeded``, ``shutting_down``, ``engine_failed`` or what loading raised.
        """
        cancellation = Cancellation()
        slot = self._slot(ModelKind.ASR, model)
        async with slot.using(deadline_s) as engine:
            asr = cast("Asr", engine)
            job = AsrJob(samples=samples, options=options, cancellation=cancellation)
            return await slot.scheduler.run(
                lambda: _transcribe(asr, job),
                cancellation=cancellation,
                priority=_priority_of(samples) if priority is None else priority,
                deadline_s=deadline_s,
            )

    @asynccontextmanager
    async def transcribe_stream(
        self,
        samples: Samples,
        options: AsrOptions,
        *,
        model: str | None = None,
        priority: Priority | None = None,
        deadline_s: float | None = None,
    ) -> AsyncGenerator[AsyncIterator[Segment | Transcript]]:
        """The segments of 16 kHz audio as they are decoded, then the whole ``Transcript``.

        ``deadline_s`` is when the work must have begun. Leaving the context stops the engine.

        Raises:
            SpeechError: On entering or while iterating, as :meth:`transcribe`.
        """
        cancellation = Cancellation()
        slot = self._slot(ModelKind.ASR, model)
        async with slot.using(deadline_s) as engine:
            asr = cast("Asr", engine)

            def produce(emit: Callable[[Segment | Transcript], None]) -> None:
                job = AsrJob(samples=samples, options=options, cancellation=cancellation, on_segment=emit)
                emit(_transcribe(asr, job))

            async with slot.scheduler.stream(
                produce,
                cancellation=cancellation,
                priority=_priority_of(samples) if priority is None else priority,
                deadline_s=deadline_s,
            ) as results:
                yield results

    async def detect_language(
        self, samples: Samples, *, model: str | None = None, deadline_s: float | None = None
    ) -> list[LanguageGuess]:
        """The languages 16 kHz audio may be in, most probable first.

        Raises:
            SpeechError: As :meth:`transcribe`.
        """
        slot = self._slot(ModelKind.ASR, model)
        async with slot.using(deadline_s) as engine:
            asr = cast("Asr", engine)
            return await slot.scheduler.run(
                lambda: asr.detect_language([samples])[0],
                cancellation=Cancellation(),
                priority=Priority.FINAL,
                deadline_s=deadline_s,
            )

    @asynccontextmanager
    async def synthesize(
        self,
        text: str,
        *,
        voice: str | None = None,
        speed: float = 1.0,
        priority: Priority = Priority.SPEECH,
        deadline_s: float | None = None,
    ) -> AsyncGenerator[AsyncIterator[SpeechChunk]]:
        """The speech of a text, as it is made.

        ``deadline_s`` is when the work must have begun. The engine runs a bounded number of chunks ahead of the
        consumer; leaving the context stops it.

        Raises:
            SpeechError: On entering or while iterating: ``unknown_voice``, ``model_not_installed``, ``overloaded``,
                ``deadline_exceeded``, ``shutting_down``, ``engine_failed`` or what loading raised.
        """
        chosen = self.voice(voice)
        slot = self._slots[chosen.model]
        cancellation = Cancellation()
        job = TtsJob(text=text, voice=chosen.id, speed=speed, cancellation=cancellation)
        async with slot.using(deadline_s) as engine:
            tts = cast("Tts", engine)

            def produce(emit: Callable[[SpeechChunk], None]) -> None:
                chunks = tts.synthesize(job)
                try:
                    for chunk in chunks:
                        emit(chunk)
                finally:
                    if isinstance(chunks, Generator):
                        cast("Generator[SpeechChunk]", chunks).close()

            async with slot.scheduler.stream(
                produce, cancellation=cancellation, priority=priority, deadline_s=deadline_s
            ) as results:
                yield results

    def vad_initial_state(self) -> VadState:
        """The state of a stream that has heard nothing.

        Raises:
            SpeechError: ``model_not_installed`` if there is no VAD.
        """
        self._slot(ModelKind.VAD, None)
        return np.empty(0, np.float32)  # stands for the engine's own, which may not be loaded yet

    async def score_vad(
        self, frames: NDArray[np.float32], states: Sequence[VadState]
    ) -> tuple[NDArray[np.float32], list[VadState]]:
        """Speech probabilities ``float32, (b,)`` of one frame of each of ``b`` streams, and their states after it.

        Args:
            frames: ``float32, (b, 512)``, 16 kHz.
            states: From :meth:`vad_initial_state` or from the frame before.

        Raises:
            SpeechError: ``model_not_installed``, ``overloaded``, ``deadline_exceeded``, ``shutting_down``,
                ``engine_failed`` or what loading raised.
        """
        slot = self._slot(ModelKind.VAD, None)
        async with slot.using(None) as engine:
            vad = cast("Vad", engine)

            def score() -> tuple[NDArray[np.float32], list[VadState]]:
                return vad.score(frames, [state if state.size else vad.initial_state() for state in states])

            return await _run_frame(slot, score)

    async def score_turn(self, samples: Samples) -> float | None:
        """The probability that 16 kHz audio ending in silence is a complete turn; ``None`` without a turn detector.

        Raises:
            SpeechError: ``overloaded``, ``deadline_exceeded``, ``shutting_down``, ``engine_failed`` or what loading
                raised.
        """
        slot = self._default(ModelKind.TURN_DETECTOR)
        if slot is None:
            return None
        async with slot.using(None) as engine:
            detector = cast("TurnDetector", engine)
            return await _run_frame(slot, lambda: detector.score([samples])[0])

    def voices(self) -> tuple[Voice, ...]:
        """What can be asked for, the default first."""
        return self._voices.voices

    def voice(self, id_or_alias: str | None) -> Voice:
        """The voice of that id or alias; of ``None``, the default.

        Raises:
            SpeechError: ``unknown_voice``, or ``model_not_installed`` if there is no voice at all.
        """
        return self._voices[id_or_alias]

    def models(self) -> tuple[ModelStatus, ...]:
        """Every model this server knows, in the order of the catalog."""
        return tuple(self._status(slot) for slot in self._slots.values())

    def model(self, kind: ModelKind, name: str | None) -> ModelStatus:
        """The installed model of that name and kind; of no name, the default of the kind.

        Raises:
            SpeechError: ``unknown_model`` or ``model_not_installed``.
        """
        return self._status(self._slot(kind, name))

    def stats(self) -> tuple[SchedulerStats, ...]:
        """What each engine has done and is doing."""
        return tuple(slot.scheduler.stats() for slot in self._slots.values())

    async def load(self, name: str) -> None:
        """Load a model now instead of on its first use.

        Raises:
            SpeechError: ``unknown_model``, ``model_not_installed`` or what loading raised.
        """
        async with self._slot(None, name).using(None):
            pass

    async def unload(self, name: str) -> None:
        """Free a model's memory. It is loaded again when it is next used.

        Raises:
            SpeechError: ``unknown_model``, or ``overloaded`` while it is in use.
        """
        slot = self._slot(None, name)
        if slot.busy:
            raise SpeechError(
                ErrorCode.OVERLOADED, f"The model {slot.name} is in use; try again when it is idle.", retry_after_s=1.0
            )
        await slot.free()

    def _slot_for(self, name: str, spec: EngineSpec) -> EngineSlot:
        is_quick = spec.kind in {ModelKind.VAD, ModelKind.TURN_DETECTOR}
        max_queued = _FRAME_MAX_QUEUED if is_quick else self._settings.max_queued
        return EngineSlot(
            name,
            spec,
            Scheduler(name, max_queued=max_queued, grace_s=self._settings.grace_s),
            tasks=self._tasks,
            loading=self._loading,
            load_timeout_s=self._settings.load_timeout_s,
            max_waiting=max_queued,
            clock=self._clock,
        )

    def _status(self, slot: EngineSlot) -> ModelStatus:
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
            default=slot is self._default(slot.spec.kind),
        )

    def _installed_voices(self) -> list[Voice]:
        specs = [slot.spec for slot in self._slots.values() if slot.spec.installed]
        return [voice for spec in sorted(specs, key=lambda spec: not spec.default) for voice in spec.voices]

    def _default(self, kind: ModelKind) -> EngineSlot | None:
        """What is used where a request names no model."""
        if kind is ModelKind.TTS:
            return self._slots[self.voice(None).model] if self.voices() else None
        set_names = {ModelKind.ASR: self._settings.asr_model, ModelKind.TURN_DETECTOR: self._settings.turn_detector}
        if (name := set_names.get(kind)) is not None:
            return self._slot(kind, name)
        candidates = [slot for slot in self._slots.values() if slot.spec.kind is kind and slot.spec.installed]
        return min(candidates, key=lambda slot: not slot.spec.default, default=None)

    def _slot(self, kind: ModelKind | None, name: str | None) -> EngineSlot:
        """The installed model of that name and kind; of no name, the default of the kind."""
        if name is None:
            assert kind is not None
            if (default := self._default(kind)) is None:
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

    async def _give_back_memory(self) -> None:
        """When recognition and synthesis have come to rest after some work."""
        slots = [slot for slot in self._slots.values() if slot.spec.kind in {ModelKind.ASR, ModelKind.TTS}]
        given_back_s = self._clock()
        while slots:
            await self._sleep(_REST_S)
            last_used_s = max(slot.last_used_s for slot in slots)
            is_at_rest = last_used_s + _REST_S <= self._clock() and not any(slot.busy for slot in slots)
            if is_at_rest and last_used_s >= given_back_s:
                await to_thread.run_sync(give_back_freed_memory)
                given_back_s = self._clock()

    async def _unload_idle_engines(self, keep_alive_s: float) -> None:
        while True:
            now_s = self._clock()
            for slot in self._slots.values():
                if slot.loaded and not slot.busy and now_s - slot.last_used_s >= keep_alive_s:
                    await slot.free()
            idle_since_s = min((slot.last_used_s for slot in self._slots.values() if slot.loaded), default=now_s)
            await self._sleep(max(idle_since_s + keep_alive_s - now_s, keep_alive_s / 10))


async def _run_frame(slot: EngineSlot, fn: Callable[[], T]) -> T:
    """Run work that takes milliseconds and cannot be cancelled."""
    return await slot.scheduler.run(
        fn,
        cancellation=Cancellation(),
        priority=Priority.FINAL,
        deadline_s=anyio.current_time() + _FRAME_TIMEOUT_S,
    )


def _priority_of(samples: Samples) -> Priority:
    return Priority.FINAL if len(samples) <= _TURN_MAX_S * SESSION_RATE_HZ else Priority.BACKGROUND


def _transcribe(asr: Asr, job: AsrJob) -> Transcript:
    tag = job.options.language
    language = None if tag is None else language_code(tag)
    job = replace(job, options=replace(job.options, language=language))
    if language is not None and language not in asr.languages:
        raise SpeechError(
            ErrorCode.UNSUPPORTED_LANGUAGE,
            f"The model does not know the language {quoted(language)}. It knows: {some(sorted(asr.languages))}.",
            param="language",
        )
    (result,) = asr.transcribe([job])
    if isinstance(result, SpeechError):
        raise result
    return result
