"""The four kinds of engine, as Protocols.

Above them: the scheduler, which owns threads and queues. Below them: one adapter a library.

Every method here *blocks* and is called on a worker thread, never on the event loop, except for :meth:`Asr.bucket`.
How many threads may call an engine at once, and how many jobs it takes in one call, ``lanes`` says. Failures of one job
are returned in its place, so that no job of a batch harms another; an exception from a method means the engine itself
is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import SpeechChunk, Voice
from schemas.transcripts import AsrTask, LanguageGuess, Segment, Transcript


class Lanes(Struct, frozen=True):
    """How much an engine does at once. On a CPU workers beat batches, on a GPU batches beat workers."""

    workers: int = 1
    """Threads that may call it at once."""
    max_batch: int = 1
    """Jobs it takes in one call; for voice activity, streams."""


class Cancellation:
    """A flag that crosses from the event loop to a worker thread. Engines look at it between steps."""

    def __init__(self) -> None:
        self.cancelled = False
        """Whether to stop."""

    def cancel(self) -> None:
        """Ask the work to stop; it does so at its next step."""
        self.cancelled = True

    def check(self) -> None:
        """Raise ``SpeechError(cancelled)`` if asked to stop."""
        if self.cancelled:
            raise SpeechError(ErrorCode.CANCELLED, "The request was cancelled.")


class AsrOptions(Struct, frozen=True, kw_only=True):
    """How to recognise."""

    task: AsrTask = AsrTask.TRANSCRIBE
    language: str | None = None
    """ISO 639-1; ``None`` detects it."""
    prompt: str | None = None
    hotwords: tuple[str, ...] = ()
    beam_size: int = 5
    temperature: float = 0.0
    """0 lets the engine raise it by steps when decoding fails its own quality checks."""
    word_times: bool = False
    token_logprobs: bool = False
    """Whether segments tell how sure the engine was of each token."""
    sentence_end: bool = False
    """Whether the transcript of a turn tells how likely a sentence ends behind it. Who cannot say leaves it out."""
    trimmed: bool = False
    """Whether audio that is much shorter than the model's window may be recognised in a shorter one: several times
    faster, not always to the letter the same. For conversations; an engine without a fixed window ignores it."""
    provisional: bool = False
    """Whether the text is only for now, as a partial transcript is: it may break off, and speed counts for more."""
    vad_filter: bool = False
    """Whether to drop silence before recognition: for files, not for turns that were cut by VAD already."""


class AsrJob(Struct, frozen=True, kw_only=True, eq=False):
    """One piece of audio to recognise."""

    samples: Samples
    """``float32, (n,)``, 16 kHz, -1…1."""
    options: AsrOptions
    cancellation: Cancellation
    on_segment: Callable[[Segment], None] | None = None
    """Called on the worker thread with each segment as soon as it is decoded."""


class Pronunciation(Struct, frozen=True):
    """How a span of a text is said, whatever its spelling."""

    start: int
    """Offset of its first character."""
    end: int
    """Offset after its last character."""
    ipa: str
    """In the International Phonetic Alphabet, with stress marks."""


class TtsJob(Struct, frozen=True, kw_only=True, eq=False):
    """One text to speak."""

    text: str
    """Plain words: numbers, abbreviations and markup have been dealt with."""
    voice: str
    """A voice id of this engine."""
    cancellation: Cancellation
    speed: float = 1.0
    pronunciations: tuple[Pronunciation, ...] = ()
    """Spans of ``text``, in order, that do not overlap."""


class Asr(Protocol):
    """Speech recognition."""

    lanes: Lanes
    languages: frozenset[str]
    """ISO 639-1 codes it recognises."""

    def transcribe(self, jobs: Sequence[AsrJob]) -> list[Transcript | SpeechError]:
        """One result a job, in order. Silence gives an empty transcript, not an error."""
        ...

    def bucket(self, job: AsrJob) -> Hashable | None:
        """What jobs must have in common to be recognised together; ``None`` for one that is recognised alone.

        Quick, and called on the event loop.
        """
        ...

    def detect_language(self, samples: Sequence[Samples]) -> list[list[LanguageGuess]]:
        """Candidates for each piece of 16 kHz audio, most probable first."""
        ...

    def close(self) -> None:
        """Free the model's memory. Nothing may be called after."""
        ...


class Tts(Protocol):
    """Speech synthesis."""

    lanes: Lanes
    voices: tuple[Voice, ...]

    def synthesize(self, job: TtsJob) -> Iterator[SpeechChunk]:
        """Chunks of one utterance, the first as early as the engine can. Stops between chunks when cancelled.

        Raises:
            SpeechError: ``cancelled`` or ``engine_failed``.
        """
        ...

    def close(self) -> None:
        """Free the model's memory. Nothing may be called after."""
        ...


VadState = NDArray[np.float32]
"""Opaque memory of one audio stream."""


class Vad(Protocol):
    """Voice activity detection, batched over audio streams."""

    lanes: Lanes

    def initial_state(self) -> VadState:
        """The state of a stream that has heard nothing."""
        ...

    def score(
        self, frames: NDArray[np.float32], states: Sequence[VadState]
    ) -> tuple[NDArray[np.float32], list[VadState]]:
        """Speech probabilities of ``t`` frames in a row of each stream.

        Args:
            frames: ``float32, (b, t, 512)``, 16 kHz, of ``b`` streams.
            states: ``b`` states, as returned for the frame before.

        Returns:
            Probabilities ``float32, (b, t)`` and the ``b`` states after these frames.
        """
        ...

    def close(self) -> None:
        """Free the model's memory. Nothing may be called after."""
        ...


class TurnAudio(Struct, frozen=True, eq=False):
    """A turn so far, up to now."""

    samples: Samples
    """``float32, (n,)``, 16 kHz."""
    silence_samples: int
    """How much of its end is silence, by voice activity."""


class TurnDetector(Protocol):
    """Says from the sound whether a speaker has finished."""

    lanes: Lanes

    def score(self, clips: Sequence[TurnAudio]) -> list[float]:
        """Probability, for each clip, that the turn is complete.

        Clips longer than the model's window are judged by their end.
        """
        ...

    def close(self) -> None:
        """Free the model's memory. Nothing may be called after."""
        ...


Engine = Asr | Tts | Vad | TurnDetector
