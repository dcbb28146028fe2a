"""Recognition of the current turn: partial transcripts while it lasts, a final one whenever it may be over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import anyio
import structlog
from anyio import CancelScope
from anyio.abc import TaskGroup
from msgspec import Struct, field
from msgspec.structs import replace

from engines.base import AsrOptions, TurnAudio
from engines.host import EngineHost
from engines.scheduler import Priority
from schemas.audio import SESSION_RATE_HZ
from schemas.errors import ErrorInfo, SpeechError
from schemas.sessions import SessionSettings
from schemas.transcripts import Transcript, Word
from session.audio_buffer import AudioBuffer
from session.hypothesis import HypothesisWord, LocalAgreement
from session.turn_actions import FinalizeAsr, PartialAsr, ScoreEndOfTurn

log = structlog.get_logger("antiphon.session")

FINALS_KEPT: Final = 100
FINALS_MIN: Final = 5
FINAL_GUESS_S: Final = 5.0
"""The first transcripts wait for the model to be loaded."""
EMPTY = Transcript(text="", language="", language_probability=0.0, duration_s=0.0)


class RecognitionCounts(Struct):
    """What partial and final transcripts cost and were worth, for all sessions together."""

    emitted_words: int = 0
    """Words of partial transcripts when they were first published."""
    revised_words: int = 0
    """Those of them that a later partial took back or changed."""
    finals_begun: int = 0
    """Final transcripts begun: one at each silence that may be the end."""
    finals_dropped: int = 0
    """Those that were void because the user went on."""
    final_waits_s: deque[float] = field(default_factory=lambda: deque(maxlen=FINALS_KEPT))
    """How long the newest final transcripts took."""

    @property
    def usual_final_s(self) -> float:
        """What 95 of 100 final transcripts do not exceed; a guess while there were few."""
        if len(self.final_waits_s) < FINALS_MIN:
            return FINAL_GUESS_S
        return sorted(self.final_waits_s)[int(0.95 * len(self.final_waits_s))]


class TurnRecognizer:
    """Runs the models the turn core asks for, at most one job of a kind at a time, and reports back.

    Args:
        owner: For whom: the scheduler shares the engine out among owners.
        counts: Counted up here.
        may_wait: Whether a final transcript need not be begun yet: whether it is wanted will be known at once.
        on_partial: Gets the action answered, the words so far and their language.
        on_final: Gets the generation; :attr:`final` then holds its transcript, empty if recognition failed.
        on_score: Gets the generation and the turn detector's probability, ``None`` without a detector.
    """

    def __init__(
        self,
        host: EngineHost,
        owner: str,
        settings: SessionSettings,
        audio: AudioBuffer,
        deadline_s: float,
        counts: RecognitionCounts,
        *,
        may_wait: Callable[[], bool] = lambda: False,
        on_partial: Callable[[PartialAsr, LocalAgreement, str], None],
        on_final: Callable[[int], None],
        on_score: Callable[[int, float | None], None],
    ) -> None:
        self._host = host
        self._owner = owner
        self._settings = settings
        self._audio = audio
        self._deadline_s = deadline_s
        self._counts = counts
        self._may_wait = may_wait
        self._on_partial = on_partial
        self._on_final = on_final
        self._on_score = on_score
        self._partial_scope: CancelScope | None = None
        self._put_off: FinalizeAsr | None = None
        self._final_scope: CancelScope | None = None
        self._score_scope: CancelScope | None = None
        self._turn: int = 0
        self._agreement = LocalAgreement(0.0)
        self.final = EMPTY
        """The newest final transcript; word times count from the start of the session's audio."""
        self.final_error: ErrorInfo | None = None
        """Why there is none."""
        self.final_stability = 1.0
        """Share of the words of the last partial transcript that it has too."""

    @property
    def is_scoring(self) -> bool:
        """Whether the turn detector is being asked."""
        return self._score_scope is not None

    @property
    def is_finalizing(self) -> bool:
        """Whether a final transcript that is wanted is being made."""
        return self._final_scope is not None and not self._final_scope.cancel_called

    def partial(self, tasks: TaskGroup, action: PartialAsr) -> None:
        """Start a partial transcript, unless one is being made: the next will have this audio too."""
        if self._settings.partials and self._partial_scope is None:
            self._partial_scope = CancelScope()
            tasks.start_soon(self._run_partial, action, self._partial_scope)

    def finalize(self, tasks: TaskGroup, action: FinalizeAsr) -> None:
        """Start the final transcript, at once or later. A partial that still runs would hold it up."""
        self._stop()
        self._put_off = action
        self.go_on(tasks)

    def go_on(self, tasks: TaskGroup) -> None:
        """Start the final transcript that was put off, unless it may wait longer."""
        if self._put_off is None or self._may_wait():
            return
        action, self._put_off = self._put_off, None
        self._counts.finals_begun += 1
        self._final_scope = CancelScope()
        tasks.start_soon(self._run_final, action, self._final_scope)

    def score(self, tasks: TaskGroup, action: ScoreEndOfTurn, silent_from_samples: int) -> None:
        """Ask the turn detector, unless it is still thinking about this pause."""
        if self._score_scope is None:
            self._score_scope = CancelScope()
            tasks.start_soon(self._run_score, action, silent_from_samples, self._score_scope)

    def void_final(self) -> None:
        """Stop what runs: the user went on, and the answer is void."""
        self._counts.finals_dropped += self._put_off is None
        self._put_off = None
        self._stop()

    def _stop(self) -> None:
        for scope in (self._partial_scope, self._final_scope):
            if scope is not None:
                scope.cancel()

    async def _run_partial(self, action: PartialAsr, scope: CancelScope) -> None:
        agreement = self._agreement_of(action)
        start_samples = round(agreement.start_s * SESSION_RATE_HZ)
        try:
            with scope:
                samples = self._audio.read(start_samples, action.end_samples)
                options = self._options()
                prompt = " ".join(filter(None, (options.prompt, agreement.prompt)))
                transcript = await self._host.transcribe(
                    samples,
                    replace(options, prompt=prompt or None, beam_size=1, provisional=True),
                    model=self._settings.asr_model,
                    priority=Priority.PARTIAL,
                    owner=self._owner,
                    deadline_s=anyio.current_time() + self._deadline_s,
                )
                if words := _hypothesis(transcript, agreement.start_s):
                    emitted, revised = agreement.emitted_words, agreement.revised_words
                    agreement.insert(words, action.end_samples / SESSION_RATE_HZ)
                    self._counts.emitted_words += agreement.emitted_words - emitted
                    self._counts.revised_words += agreement.revised_words - revised
                    self._on_partial(action, agreement, transcript.language)
        except SpeechError as error:
            # A partial is a convenience: under load it is the first thing to go, and the final will have the words.
            log.info("partial_dropped", code=error.code)
        finally:
            self._partial_scope = None

    async def _run_final(self, action: FinalizeAsr, scope: CancelScope) -> None:
        begun_s = anyio.current_time()
        with scope:
            try:
                samples = self._audio.read(action.start_samples, action.end_samples)
                transcript = await self._host.transcribe(
                    samples,
                    replace(self._options(), sentence_end=self._settings.turn.is_weighed),
                    model=self._settings.asr_model,
                    priority=Priority.FINAL,
                    owner=self._owner,
                    deadline_s=anyio.current_time() + self._deadline_s,
                )
                self.final, self.final_error = _shifted(transcript, action.start_samples / SESSION_RATE_HZ), None
                self._counts.final_waits_s.append(anyio.current_time() - begun_s)
            except SpeechError as error:
                self.final, self.final_error = EMPTY, error.info
            words = [word.text for word in self.final.words]
            self.final_stability = self._agreement.kept_by(words) if action.turn == self._turn else 1.0
            self._final_scope = None
            self._on_final(action.generation)

    def _agreement_of(self, action: PartialAsr) -> LocalAgreement:
        if action.turn != self._turn:
            self._turn = action.turn
            self._agreement = LocalAgreement(action.start_samples / SESSION_RATE_HZ)
        return self._agreement

    def _options(self) -> AsrOptions:
        settings = self._settings
        return AsrOptions(
            language=settings.language,
            prompt=settings.prompt,
            hotwords=settings.hotwords,
            word_times=True,
            trimmed=True,
        )

    async def _run_score(self, action: ScoreEndOfTurn, silent_from_samples: int, scope: CancelScope) -> None:
        probability: float | None = None
        try:
            with scope:
                samples = self._audio.read(action.start_samples, action.end_samples)
                heard = TurnAudio(samples, action.end_samples - silent_from_samples)
                probability = await self._host.score_turn(heard, owner=self._owner)
        except SpeechError as error:
            log.warning("turn_detector_failed", code=error.code)
        finally:
            self._score_scope = None
        self._on_score(action.generation, probability)


def _shifted(transcript: Transcript, offset_s: float) -> Transcript:
    """The same transcript with times on the session's clock."""

    def shift_word(word: Word) -> Word:
        return replace(word, start_s=round(word.start_s + offset_s, 3), end_s=round(word.end_s + offset_s, 3))

    segments = tuple(
        replace(
            segment,
            start_s=segment.start_s + offset_s,
            end_s=segment.end_s + offset_s,
            words=tuple(shift_word(word) for word in segment.words),
        )
        for segment in transcript.segments
    )
    return replace(transcript, segments=segments)


def _hypothesis(transcript: Transcript, offset_s: float) -> list[HypothesisWord]:
    """The words of a transcript, each with the space before it, on the session's clock."""
    words: list[HypothesisWord] = []
    text = transcript.text
    for word in transcript.words:
        before, found, after = text.partition(word.text)
        written, text = (before + found, after) if found and words else (f" {word.text}", after or text)
        words.append(HypothesisWord(written, word.start_s + offset_s, word.end_s + offset_s))
    return words
