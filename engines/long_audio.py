"""Long recordings, recognised in pieces.

What one window of recognition holds goes to the engine as it is. Anything longer is cut at silences
(:mod:`engines.pieces`) by voice activity detection, a stretch at a time, and each piece becomes a job of its own in
the background: turns of conversations overtake it between two pieces, several workers or one batch share the file,
and memory does not grow with its length. Segments come in the order of the recording, with its times.

The language is that of the first piece with words in it, unless the caller names one.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final

import anyio
import numpy as np
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream
from msgspec.structs import replace
from numpy.typing import NDArray

from engines.base import AsrOptions
from engines.host import EngineHost
from engines.pieces import DEFAULT_CUTTING, MAX_PIECE_FRAMES, Cutting, next_piece
from engines.scheduler import Priority
from schemas.audio import SESSION_RATE_HZ, VAD_FRAME_SAMPLES, Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind
from schemas.transcripts import Progress, Segment, Transcript, continuation

_MAX_WHOLE_S: Final = 600
"""Decoded as one, a recording takes some 20 MB of features a minute at once."""
_AHEAD_PIECES: Final = 4
"""Recognised before they are asked for. Other callers of the engine find room in its queue."""
_STRETCHES: Final = 32
_STRETCH_FRAMES: Final = 128
"""4 s. Voice activity goes frame by frame, so that many stretches of one recording are scored as if they were streams
of their own."""
_WARM_UP_FRAMES: Final = 16
"""Heard before a stretch begins: the detector's memory of what was said."""
_RETRY_S: Final = 1.0

Result = Segment | Progress | Transcript


@asynccontextmanager
async def transcribe_file(
    host: EngineHost,
    samples: Samples,
    options: AsrOptions,
    *,
    model: str | None = None,
    deadline_s: float | None = None,
    whole: bool = False,
    cutting: Cutting | None = None,
) -> AsyncGenerator[AsyncIterator[Result]]:
    """The segments of a recording as they are recognised, how far it has come after each, then the ``Transcript``.

    Leaving the context stops the engine.

    Args:
        host: Recognition and voice activity detection.
        samples: 16 kHz.
        options: How to recognise.
        model: The recognition model.
        deadline_s: When the work must have begun. Each piece of a long recording then has as long again.
        whole: Decode up to ten minutes as one, as faster-whisper does by itself.
        cutting: Cut recordings of any length, like this.

    Raises:
        SpeechError: On entering or while iterating, as :meth:`EngineHost.transcribe`.
    """
    if cutting is None and not _is_cut(host, samples, whole=whole):
        async with host.transcribe_stream(samples, options, model=model, deadline_s=deadline_s) as results:
            yield _with_progress(results)
        return
    prepaid = host.prepaid(len(samples) / SESSION_RATE_HZ)
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        recording = _Recording(prepaid, samples, options, model, deadline_s, cutting or DEFAULT_CUTTING)
        try:
            async with aclosing(recording.results(tasks)) as results:
                yield results
        except Exception as error:  # noqa: BLE001  raised below, outside the group, which would wrap it in another
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def transcript_of_file(
    host: EngineHost,
    samples: Samples,
    options: AsrOptions,
    *,
    model: str | None = None,
    deadline_s: float | None = None,
    whole: bool = False,
    cutting: Cutting | None = None,
) -> Transcript:
    """What :func:`transcribe_file` ends with. What is not cut must be *finished* by the deadline.

    Raises:
        SpeechError: As :meth:`EngineHost.transcribe`.
    """
    if cutting is None and not _is_cut(host, samples, whole=whole):
        return await host.transcribe(samples, options, model=model, deadline_s=deadline_s)
    async with transcribe_file(host, samples, options, model=model, deadline_s=deadline_s, cutting=cutting) as results:
        found = [result async for result in results if isinstance(result, Transcript)]
    return found[0]


def _is_cut(host: EngineHost, samples: Samples, *, whole: bool) -> bool:
    longest_s = _MAX_WHOLE_S if whole else MAX_PIECE_FRAMES * VAD_FRAME_SAMPLES / SESSION_RATE_HZ
    if len(samples) <= longest_s * SESSION_RATE_HZ:
        return False
    return any(one.kind is ModelKind.VAD and one.installed for one in host.models())


async def _with_progress(results: AsyncIterator[Segment | Transcript]) -> AsyncGenerator[Result]:
    async for result in results:
        yield result
        if isinstance(result, Segment):
            yield Progress(result.end_s)


class _Piece:
    """A part of the recording, on its way through the engine."""

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.done = anyio.Event()
        self.found: Transcript | SpeechError | None = None


class _Recording:
    """One long recording being recognised."""

    def __init__(
        self,
        host: EngineHost,
        samples: Samples,
        options: AsrOptions,
        model: str | None,
        deadline_s: float | None,
        cutting: Cutting,
    ) -> None:
        self._host = host
        self._samples = samples
        # Silence is left out by cutting, and what is cut need not be decoded as if it were not.
        self._options = replace(options, vad_filter=False, trimmed=True)
        self._model = model
        self._cutting = cutting
        self._patience_s = None if deadline_s is None else deadline_s - anyio.current_time()
        self._first: _Piece | None = None
        self._language: tuple[str, float] | None = None

    async def results(self, tasks: TaskGroup) -> AsyncGenerator[Result]:
        """Everything, in order."""
        send, receive = anyio.create_memory_object_stream[_Piece](_AHEAD_PIECES)
        tasks.start_soon(self._recognise_all, send, tasks)
        segments: list[Segment] = []
        text = ""
        with receive:
            async for piece in receive:
                await piece.done.wait()
                if isinstance(piece.found, SpeechError):
                    raise piece.found
                assert piece.found is not None
                for segment in piece.found.segments:
                    segments.append(_moved(segment, len(segments) + 1, piece.start))
                    text += continuation(text, segment.text)
                    yield segments[-1]
                yield Progress(piece.end / SESSION_RATE_HZ)
        language, probability = self._language or (self._options.language or "und", 0.0)
        duration_s = len(self._samples) / SESSION_RATE_HZ
        yield Progress(duration_s)
        yield Transcript(text.strip(), language, probability, duration_s, tuple(segments))

    async def _recognise_all(self, send: MemoryObjectSendStream[_Piece], tasks: TaskGroup) -> None:
        """Begin each piece when its turn comes; the stream's bound says how far ahead."""
        with send, suppress(anyio.BrokenResourceError):  # broken by a caller who left
            try:
                async for start, end in self._cuts():
                    piece = _Piece(start, end)
                    self._first = self._first or piece
                    await send.send(piece)
                    tasks.start_soon(self._recognise, piece)
                    if self._language is None and self._options.language is None:
                        await piece.done.wait()
            except SpeechError as error:
                failed = _Piece(0, 0)
                failed.found = error
                failed.done.set()
                await send.send(failed)

    async def _recognise(self, piece: _Piece) -> None:
        deadline_s = None if self._patience_s is None else anyio.current_time() + self._patience_s
        language = self._options.language if self._language is None else self._language[0]
        options = replace(self._options, language=language)
        while piece.found is None:
            try:
                found = await self._host.transcribe(
                    self._samples[piece.start : piece.end],
                    options,
                    model=self._model,
                    priority=Priority.BACKGROUND,
                    deadline_s=deadline_s,
                )
            except SpeechError as error:
                is_late = deadline_s is not None and anyio.current_time() >= deadline_s
                if error.code is not ErrorCode.OVERLOADED or is_late or piece is self._first:
                    piece.found = error
                else:  # The file was accepted, so it waits instead of failing in its middle.
                    await anyio.sleep(error.retry_after_s or _RETRY_S)
            else:
                piece.found = found
                if found.text and self._language is None:
                    self._language = found.language, found.language_probability
        piece.done.set()

    async def _cuts(self) -> AsyncGenerator[tuple[int, int]]:
        """Where pieces begin and end, in samples."""
        total = math.ceil(len(self._samples) / VAD_FRAME_SAMPLES)
        scores = np.empty(0, np.float32)
        begin = scored = 0
        while begin < total:
            cut = next_piece(scores, is_end=scored == total, cutting=self._cutting)
            if cut is None:
                more = await self._score(scored, min(total, scored + _STRETCHES * _STRETCH_FRAMES))
                scores = np.concatenate((scores, more))
                scored += len(more)
                continue
            if cut.end > cut.start:
                yield (begin + cut.start) * VAD_FRAME_SAMPLES, (begin + cut.end) * VAD_FRAME_SAMPLES
            begin += cut.resume
            scores = scores[cut.resume :]

    async def _score(self, first: int, last: int) -> NDArray[np.float32]:
        """Probabilities of speech in frames ``first…last``, ``float32, (last - first,)``."""
        stretches = math.ceil((last - first) / _STRETCH_FRAMES)
        frames = np.zeros((stretches, _WARM_UP_FRAMES + _STRETCH_FRAMES, VAD_FRAME_SAMPLES), np.float32)
        for number, row in enumerate(frames.reshape(stretches, -1)):
            start = (first + number * _STRETCH_FRAMES - _WARM_UP_FRAMES) * VAD_FRAME_SAMPLES
            heard = self._samples[max(0, start) : start + len(row)]
            offset = max(0, -start)
            row[offset : offset + len(heard)] = heard
        states = [self._host.vad_initial_state()] * stretches
        scores = np.empty(frames.shape[:2], np.float32)
        for number in range(frames.shape[1]):
            scores[:, number : number + 1], states = await self._host.score_vad(
                frames[:, number : number + 1], states, priority=Priority.BACKGROUND
            )
        return scores[:, _WARM_UP_FRAMES:].reshape(-1)[: last - first]


def _moved(segment: Segment, number: int, start: int) -> Segment:
    """A piece's segment as one of the recording."""
    offset_s = start / SESSION_RATE_HZ
    return replace(
        segment,
        id=number,
        start_s=segment.start_s + offset_s,
        end_s=segment.end_s + offset_s,
        seek=segment.seek + round(offset_s * 100),
        words=tuple(
            replace(word, start_s=word.start_s + offset_s, end_s=word.end_s + offset_s) for word in segment.words
        ),
    )
