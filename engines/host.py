"""The engines of this process: the one thing that sessions, tools and the server see of recognition and synthesis.

Engines are loaded when they are first used, once, and unloaded when they have been idle for long enough. Each has a
:class:`~engines.scheduler.Scheduler` of its own, so that a busy synthesis does not hold up recognition.

``deadline_s`` is everywhere a point in time on the clock of ``anyio.current_time()``, not a duration.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from copy import copy
from functools import partial
from itertools import accumulate, pairwise
from types import TracebackType
from typing import Final, Self, cast

import anyio
import numpy as np
from anyio import to_thread
from msgspec.structs import replace
from numpy.typing import NDArray

from engines.base import Asr, AsrJob, AsrOptions, Cancellation, Tts, TurnAudio, TurnDetector, Vad, VadState
from engines.caller import Caller, Unlimited
from engines.memory import give_back_freed_memory
from engines.names import quoted, some
from engines.prompt_cache import Prompt, PromptCache, PromptCacheStats
from engines.scheduler import Priority, SchedulerStats, Terms
from engines.slots import EngineSlots
from engines.spec import EngineSpec, HostSettings
from engines.speech_pipeline import Script, speak
from engines.voicebook import VoiceBook
from schemas.audio import SESSION_RATE_HZ, VAD_FRAME_SAMPLES, Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind, ModelStatus
from schemas.speech import SpeechChunk, SpeechOptions, Voice
from schemas.transcripts import LanguageGuess, Segment, Transcript, language_code

_FRAME_TERMS: Final = Terms(audio_s=VAD_FRAME_SAMPLES / SESSION_RATE_HZ, bucket="frame")
_SPOKEN_CHARS_PER_S: Final = 15.0
"""About the rate of read English; what a text costs is not known before it is spoken."""
_TURN_MAX_S: Final = 30
"""Longer audio takes more than one window of recognition: nobody waits for it in a conversation."""
_REST_S: Final = 3.0
"""Longer than the pauses of a conversation."""
_GIVE_BACK_EVERY_S: Final = 60.0
"""Where there is no rest: of a minute, some tens of milliseconds for giving memory back are little."""


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
        self._slots = EngineSlots(engines, settings, self._tasks, clock)
        self._prompts = PromptCache(settings.prompt_cache_bytes)
        self._caller = Caller()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._tasks)
        for slot in self._slots:
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
                for slot in self._slots:
                    closing.start_soon(slot.scheduler.aclose)
            for slot in self._slots:
                if not slot.scheduler.busy:
                    await slot.free()
        self._tasks.cancel_scope.cancel()
        return await self._stack.__aexit__(kind, error, trace)

    def on_behalf_of(self, caller: Caller) -> Self:
        """The same engines, working for that caller: their share, their allowance. Not to be entered."""
        bound = copy(self)
        bound._caller = caller  # noqa: SLF001  of the same class
        return bound

    def prepaid(self, audio_s: float) -> Self:
        """The same engines, for the pieces of what the caller is charged for here and now, as a whole.

        Raises:
            SpeechError: ``quota_exceeded``.
        """
        self._caller.allowance.take(audio_s)
        return self.on_behalf_of(replace(self._caller, allowance=Unlimited()))

    async def transcribe(
        self,
        samples: Samples,
        options: AsrOptions,
        *,
        model: str | None = None,
        priority: Priority | None = None,
        owner: str | None = None,
        deadline_s: float | None = None,
    ) -> Transcript:
        """The text of 16 kHz audio.

        Without a ``priority``, audio as short as a turn goes first and longer audio last: it is a file.

        Raises:
            SpeechError: ``unknown_model``, ``model_not_installed``, ``unsupported_language``, ``quota_exceeded``,
                ``overloaded``, ``deadline_exceeded``, ``shutting_down``, ``engine_failed`` or what loading raised.
        """
        slot = self._slots.find(ModelKind.ASR, model)
        self._caller.allowance.take(len(samples) / SESSION_RATE_HZ)
        async with slot.using(deadline_s) as engine:
            asr = cast("Asr", engine)
            job = _asr_job(asr, samples, options)
            terms = self._asr_terms(samples, priority, owner, deadline_s, bucket=asr.bucket(job))
            return await slot.scheduler.run(asr.transcribe, job, terms, job.cancellation)

    @asynccontextmanager
    async def transcribe_stream(
        self,
        samples: Samples,
        options: AsrOptions,
        *,
        model: str | None = None,
        priority: Priority | None = None,
        owner: str | None = None,
        deadline_s: float | None = None,
    ) -> AsyncGenerator[AsyncIterator[Segment | Transcript]]:
        """The segments of 16 kHz audio as they are decoded, then the whole ``Transcript``.

        ``deadline_s`` is when the work must have begun. Leaving the context stops the engine.

        Raises:
            SpeechError: On entering or while iterating, as :meth:`transcribe`.
        """
        slot = self._slots.find(ModelKind.ASR, model)
        self._caller.allowance.take(len(samples) / SESSION_RATE_HZ)
        async with slot.using(deadline_s) as engine:
            asr = cast("Asr", engine)
            job = _asr_job(asr, samples, options)

            def transcribe(emit: Callable[[Segment | Transcript], None]) -> None:
                (result,) = asr.transcribe([replace(job, on_segment=emit)])
                if isinstance(result, SpeechError):
                    raise result
                emit(result)

            terms = self._asr_terms(samples, priority, owner, deadline_s)
            async with slot.scheduler.listen(transcribe, terms, job.cancellation) as results:
                yield results

    async def detect_language(
        self,
        samples: Samples,
        *,
        model: str | None = None,
        owner: str | None = None,
        deadline_s: float | None = None,
    ) -> list[LanguageGuess]:
        """The languages 16 kHz audio may be in, most probable first.

        Raises:
            SpeechError: As :meth:`transcribe`.
        """
        slot = self._slots.find(ModelKind.ASR, model)
        self._caller.allowance.take(min(len(samples) / SESSION_RATE_HZ, _TURN_MAX_S))  # it hears no more
        async with slot.using(deadline_s) as engine:
            asr = cast("Asr", engine)
            terms = self._asr_terms(samples, Priority.FINAL, owner, deadline_s, bucket="language")
            return await slot.scheduler.run(asr.detect_language, samples, terms, Cancellation())

    @asynccontextmanager
    async def synthesize(
        self,
        text: str,
        *,
        voice: str | None = None,
        options: SpeechOptions | None = None,
        priority: Priority = Priority.SPEECH,
        owner: str | None = None,
        deadline_s: float | None = None,
    ) -> AsyncGenerator[AsyncIterator[SpeechChunk]]:
        """The speech of a text, as it is made. Offsets of its words are those of the text.

        ``deadline_s`` is when the work must have begun. The engine runs a bounded number of chunks ahead of the
        consumer; leaving the context stops it. What was spoken to its end lately needs no engine: it is there at once.

        Raises:
            SpeechError: On entering or while iterating: ``unknown_voice``, ``invalid_request`` for SSML or a lexicon,
                ``model_not_installed``, ``quota_exceeded``, ``overloaded``, ``deadline_exceeded``, ``shutting_down``,
                ``engine_failed`` or what loading raised.
        """
        chosen = self.voice(voice)
        self._caller.allowance.take(0.0)
        slot = self._slots.of_voice(chosen.id)
        options = options or SpeechOptions()
        read = partial(Script, text, chosen.language, options)
        script = await to_thread.run_sync(read) if options.ssml else read()  # a document is read as a whole
        prompt = Prompt(chosen, text, script.options, self._caller.tenant)
        if (kept := None if chosen.cloned else self._prompts.get(prompt)) is not None:
            async with aclosing(self._spent(_again(kept))) as chunks:
                yield chunks
            return
        cancellation = Cancellation()
        terms = Terms(
            priority=priority,
            tenant=self._caller.tenant,
            owner=owner,
            audio_s=len(text) / (_SPOKEN_CHARS_PER_S * script.options.speed),
            deadline_s=deadline_s,
        )
        async with slot.using(deadline_s) as engine:
            tts = cast("Tts", engine)
            async with (
                slot.scheduler.stream(
                    lambda: speak(tts, script, chosen, cancellation), terms, cancellation, item_s=_duration_s
                ) as made,
                aclosing(self._spent(made if chosen.cloned else self._prompts.keeping(prompt, made))) as chunks,
            ):
                yield chunks

    async def _spent(self, chunks: AsyncIterator[SpeechChunk]) -> AsyncGenerator[SpeechChunk]:
        async for chunk in chunks:
            self._caller.allowance.spend(_duration_s(chunk))
            yield chunk

    def vad_initial_state(self) -> VadState:
        """The state of a stream that has heard nothing.

        Raises:
            SpeechError: ``model_not_installed`` if there is no VAD.
        """
        self._slots.find(ModelKind.VAD, None)
        return np.empty(0, np.float32)  # stands for the engine's own, which may not be loaded yet

    async def score_vad(
        self, frames: NDArray[np.float32], states: Sequence[VadState], *, priority: Priority = Priority.FINAL
    ) -> tuple[NDArray[np.float32], list[VadState]]:
        """Speech probabilities ``float32, (b, t)`` of ``t`` frames of each of ``b`` streams, and the states then.

        Args:
            frames: ``float32, (b, t, 512)``, 16 kHz: ``t`` frames in a row of each stream.
            states: From :meth:`vad_initial_state` or from the frame before.
            priority: Of a file's frames, the last.

        Raises:
            SpeechError: ``model_not_installed``, ``overloaded``, ``deadline_exceeded``, ``shutting_down``,
                ``engine_failed`` or what loading raised.
        """
        slot = self._slots.find(ModelKind.VAD, None)
        async with slot.using(None) as engine:
            score = partial(_score_frames, cast("Vad", engine))
            terms = replace(_FRAME_TERMS, bucket=frames.shape[1])
            if priority is not Priority.FINAL:
                terms = replace(terms, priority=priority, audio_s=len(states) * terms.audio_s)
            return await slot.scheduler.run(score, (frames, states), terms, Cancellation())

    async def score_turn(self, audio: TurnAudio, *, owner: str | None = None) -> float | None:
        """The probability that a turn is complete; ``None`` without a turn detector.

        Raises:
            SpeechError: ``overloaded``, ``deadline_exceeded``, ``shutting_down``, ``engine_failed`` or what loading
                raised.
        """
        slot = self._slots.default(ModelKind.TURN_DETECTOR)
        if slot is None:
            return None
        async with slot.using(None) as engine:
            detector = cast("TurnDetector", engine)
            audio_s = len(audio.samples) / SESSION_RATE_HZ
            terms = Terms(tenant=self._caller.tenant, owner=owner, audio_s=audio_s, bucket="turn")
            return await slot.scheduler.run(detector.score, audio, terms, Cancellation())

    @property
    def _voices(self) -> VoiceBook:
        return self._slots.voices.of(self._caller.tenant)

    def voices(self) -> tuple[Voice, ...]:
        """What can be asked for, the default first."""
        return self._voices.voices

    def voice(self, id_or_alias: str | None) -> Voice:
        """The voice of that id or alias; of ``None``, the default.

        Raises:
            SpeechError: ``unknown_voice``, or ``model_not_installed`` if there is no voice at all.
        """
        return self._voices[id_or_alias]

    def offer_voices(self, model: str, voices: Sequence[Voice]) -> None:
        """What a model speaks with from now on. Nothing is kept of what it spoke: a name may mean another voice.

        Raises:
            SpeechError: ``unknown_model`` or ``model_not_installed``.
        """
        self._slots.offer_voices(model, voices)
        self._prompts.forget(model)

    def models(self) -> tuple[ModelStatus, ...]:
        """Every model this server knows, in the order of the catalog."""
        return tuple(self._slots.status(slot) for slot in self._slots)

    def model(self, kind: ModelKind, name: str | None) -> ModelStatus:
        """The installed model of that name and kind; of no name, the default of the kind.

        Raises:
            SpeechError: ``unknown_model`` or ``model_not_installed``.
        """
        return self._slots.status(self._slots.find(kind, name))

    def stats(self) -> tuple[SchedulerStats, ...]:
        """What each engine has done and is doing."""
        return tuple(slot.scheduler.stats() for slot in self._slots)

    def prompt_stats(self) -> PromptCacheStats:
        """What is kept of what was spoken, and how often it was asked for."""
        return self._prompts.stats()

    async def load(self, name: str) -> None:
        """Load a model now instead of on its first use.

        Raises:
            SpeechError: ``unknown_model``, ``model_not_installed`` or what loading raised.
        """
        async with self._slots.find(None, name).using(None):
            pass

    async def unload(self, name: str) -> None:
        """Free a model's memory. It is loaded again when it is next used.

        Raises:
            SpeechError: ``unknown_model``, or ``overloaded`` while it is in use.
        """
        slot = self._slots.find(None, name)
        if slot.busy:
            raise SpeechError(
                ErrorCode.OVERLOADED, f"The model {slot.name} is in use; try again when it is idle.", retry_after_s=1.0
            )
        await slot.free()

    def _asr_terms(
        self,
        samples: Samples,
        priority: Priority | None,
        owner: str | None,
        deadline_s: float | None,
        *,
        bucket: Hashable | None = None,
    ) -> Terms:
        audio_s = len(samples) / SESSION_RATE_HZ
        if priority is None:
            priority = Priority.FINAL if audio_s <= _TURN_MAX_S else Priority.BACKGROUND
        return Terms(
            priority=priority,
            tenant=self._caller.tenant,
            owner=owner,
            audio_s=audio_s,
            bucket=bucket,
            deadline_s=deadline_s,
        )

    async def _give_back_memory(self) -> None:
        """When recognition and synthesis have come to rest after some work, and now and then while they work."""
        slots = [slot for slot in self._slots if slot.spec.kind in {ModelKind.ASR, ModelKind.TTS}]
        given_back_s = self._clock()
        while slots:
            await self._sleep(_REST_S)
            now_s, last_used_s = self._clock(), max(slot.last_used_s for slot in slots)
            busy = any(slot.busy for slot in slots)
            is_at_rest = not busy and last_used_s + _REST_S <= now_s
            if is_at_rest or now_s - given_back_s >= _GIVE_BACK_EVERY_S:
                if busy or last_used_s >= given_back_s:
                    await to_thread.run_sync(give_back_freed_memory)
                given_back_s = now_s

    async def _unload_idle_engines(self, keep_alive_s: float) -> None:
        while True:
            now_s = self._clock()
            for slot in self._slots:
                if slot.loaded and not slot.busy and now_s - slot.last_used_s >= keep_alive_s:
                    await slot.free()
            idle_since_s = min((slot.last_used_s for slot in self._slots if slot.loaded), default=now_s)
            await self._sleep(max(idle_since_s + keep_alive_s - now_s, keep_alive_s / 10))


async def _again(chunks: Sequence[SpeechChunk]) -> AsyncGenerator[SpeechChunk]:
    for chunk in chunks:
        yield chunk


_Frames = tuple[NDArray[np.float32], Sequence[VadState]]
"""Frames of some streams, and the states of these before them."""


def _score_frames(vad: Vad, jobs: Sequence[_Frames]) -> list[tuple[NDArray[np.float32], list[VadState]]]:
    """The frames of several callers, scored together: as many in a row of each stream."""
    states = [state if state.size else vad.initial_state() for _, states in jobs for state in states]
    scores, states = vad.score(np.concatenate([frames for frames, _ in jobs]), states)
    ends = list(accumulate(len(states) for _, states in jobs))
    return [(scores[start:end], states[start:end]) for start, end in pairwise([0, *ends])]


def _asr_job(asr: Asr, samples: Samples, options: AsrOptions) -> AsrJob:
    tag = options.language
    language = None if tag is None else language_code(tag)
    if language is not None and language not in asr.languages:
        raise SpeechError(
            ErrorCode.UNSUPPORTED_LANGUAGE,
            f"The model does not know the language {quoted(language)}. It knows: {some(sorted(asr.languages))}.",
            param="language",
        )
    return AsrJob(samples=samples, options=replace(options, language=language), cancellation=Cancellation())


def _duration_s(chunk: SpeechChunk) -> float:
    return len(chunk.samples) / chunk.sample_rate_hz
