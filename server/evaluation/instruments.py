"""The engines of this process, as the instruments of the evaluation harness."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import anyio
import msgspec
import numpy as np
import soxr
import stamina
from anyio import to_thread
from numpy.typing import NDArray

from engines.base import AsrOptions, TurnAudio
from engines.host import EngineHost
from engines.scheduler import Priority
from engines.smart_turn import HEAD, SmartTurn, TurnHead
from evals.cache import digest
from evals.turns.instruments import Speech, Understood
from schemas.audio import SESSION_RATE_HZ, VAD_FRAME_SAMPLES, Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind
from schemas.speech import SpokenWord

_AT_ONCE: Final = 4
"""Jobs given to the engines: enough to keep them busy, few enough that none waits past its deadline."""
_STREAMS: Final = 64
_ATTEMPTS: Final = 5
SMART_TURN: Final = "smart-turn-v3.2"
_KINDS: Final = (ModelKind.ASR, ModelKind.VAD, ModelKind.TURN_DETECTOR)

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class HostVoices:
    """Speaks with the voices of a host; see :class:`evals.turns.instruments.Voices`.

    Args:
        host: Its voices must be installed; asking for another raises ``SpeechError(unknown_voice)``.
        model: The catalog's name of the model that they are of.

    Raises:
        SpeechError: ``model_not_installed``.
    """

    def __init__(self, host: EngineHost, model: str) -> None:
        self._host = host
        self.version = host.model(ModelKind.TTS, model).name

    async def speak(self, text: str, voice: str) -> Speech:
        """The text in that voice."""
        parts: list[Samples] = []
        words: list[SpokenWord] = []
        rate_hz, spoken_s = SESSION_RATE_HZ, 0.0
        async with self._host.synthesize(text, voice=voice, priority=Priority.BACKGROUND) as chunks:
            async for chunk in chunks:
                # Word times count from the start of the text.
                words += chunk.words
                parts.append(chunk.samples)
                rate_hz = chunk.sample_rate_hz
                spoken_s += len(chunk.samples) / rate_hz
        whole = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        return Speech(np.asarray(soxr.resample(whole, rate_hz, SESSION_RATE_HZ), np.float32), tuple(words))


def detector_name(model: str, head: TurnHead) -> str:
    """The turn detector, for the cache: another fit is another detector, whatever its version says."""
    return f"{model} {digest(msgspec.json.encode(head))}"


class HostEars:
    """Listens with the models of a host; see :class:`evals.turns.instruments.Ears`.

    Args:
        host: Has a model of each kind.
        smart_turn: Folder of the model that is asked beside the session's turn detector.

    Raises:
        SpeechError: ``model_not_installed``.
    """

    def __init__(self, host: EngineHost, smart_turn: Path) -> None:
        self._host = host
        self._smart_turn = smart_turn
        self.models = {kind.value: host.model(kind, None).name for kind in _KINDS}
        """By kind."""
        self.version = " ".join(self.models.values())
        self.detector = detector_name(self.models[ModelKind.TURN_DETECTOR.value], HEAD)

    async def voice_activity(self, tracks: Sequence[Samples]) -> list[NDArray[np.float32]]:
        """The speech probability of every whole frame of each track."""
        found = [np.zeros(len(track) // VAD_FRAME_SAMPLES, np.float32) for track in tracks]
        for begin in range(0, len(tracks), _STREAMS):
            group = range(begin, min(begin + _STREAMS, len(tracks)))
            states = {number: self._host.vad_initial_state() for number in group}
            for frame in range(max((len(found[number]) for number in group), default=0)):
                at = slice(frame * VAD_FRAME_SAMPLES, (frame + 1) * VAD_FRAME_SAMPLES)
                live = [number for number in group if frame < len(found[number])]
                scores, after = await self._host.score_vad(
                    np.stack([tracks[number][None, at] for number in live]), [states[number] for number in live]
                )
                for number, score, state in zip(live, scores[:, 0], after, strict=True):
                    found[number][frame], states[number] = score, state
        return found

    async def end_of_turn(self, clips: Sequence[Samples], silences: Sequence[int]) -> list[float]:
        """For each clip the probability that the turn is over."""

        async def score(clip: TurnAudio) -> float:
            found = await self._host.score_turn(clip)
            if found is None:
                raise SpeechError(
                    ErrorCode.MODEL_NOT_INSTALLED, "There is no turn detector. Run: antiphon models pull --default"
                )
            return found

        return await _each([TurnAudio(*heard) for heard in zip(clips, silences, strict=True)], score)

    async def smart_turn(self, clips: Sequence[Samples]) -> list[float]:
        """For each clip what Smart Turn says as it comes."""
        if not clips:
            return []
        engine = SmartTurn(self._smart_turn, head=None)
        scores: list[float] = []
        for begin in range(0, len(clips), _STREAMS):
            group = [TurnAudio(clip, 0) for clip in clips[begin : begin + _STREAMS]]  # it looks at the clip alone
            scores += await to_thread.run_sync(engine.score, group)
        return scores

    async def transcribe(self, clips: Sequence[Samples], languages: Sequence[str]) -> list[Understood]:
        """The text of each clip, and how likely it is all."""

        async def recognise(job: tuple[Samples, str]) -> Understood:
            clip, language = job
            options = AsrOptions(language=language, trimmed=True, sentence_end=True)
            found = await self._host.transcribe(clip, options, priority=Priority.BACKGROUND)
            return Understood(found.text, found.sentence_end)

        return await _each(list(zip(clips, languages, strict=True)), recognise)


def _may_be_tried_again(error: Exception) -> bool:
    return isinstance(error, SpeechError) and error.code in {ErrorCode.OVERLOADED, ErrorCode.DEADLINE_EXCEEDED}


async def _each(jobs: Sequence[_In], work: Callable[[_In], Awaitable[_Out]]) -> list[_Out]:
    """All results, in order; some are made at once."""
    found: dict[int, _Out] = {}
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def one(number: int, job: _In) -> None:
        async with limiter:
            # Nobody waits for an answer here: a machine that is busy gets another chance.
            async for attempt in stamina.retry_context(on=_may_be_tried_again, attempts=_ATTEMPTS, timeout=None):
                with attempt:
                    found[number] = await work(job)

    async with anyio.create_task_group() as tasks:
        for number, job in enumerate(jobs):
            tasks.start_soon(one, number, job)
    return [found[number] for number in range(len(jobs))]
