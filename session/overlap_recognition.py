"""Recognition of what the user says over the agent: the agent is quiet meanwhile, so it goes before everything else."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import structlog
from anyio import CancelScope
from anyio.abc import TaskGroup

from engines.base import AsrOptions
from engines.host import EngineHost
from engines.scheduler import Priority
from schemas.errors import SpeechError
from schemas.sessions import SessionSettings
from schemas.transcripts import Transcript
from session.audio_buffer import AudioBuffer
from session.lexicons import is_like_stop, text_cues
from session.recognition import EMPTY
from session.turn_actions import HearOverlap
from session.turn_events import OverlapHeard

log = structlog.get_logger("antiphon.session")


class OverlapRecognizer:
    """That of one session.

    Args:
        owner: For whom: the scheduler shares the engine out among owners.
        language: The language the user spoke last, for sessions that do not name one: too little is said to tell.
        is_own: Whether a text may be the agent's own words, come back as an echo. Then nothing was said.
        on_heard: Gets the answer. There is none if recognition fails; the voice's length decides then.
    """

    def __init__(
        self,
        host: EngineHost,
        owner: str,
        settings: SessionSettings,
        audio: AudioBuffer,
        deadline_s: float,
        *,
        language: Callable[[], str],
        is_own: Callable[[str], bool],
        on_heard: Callable[[OverlapHeard], None],
    ) -> None:
        self._host = host
        self._owner = owner
        self._settings = settings
        self._audio = audio
        self._deadline_s = deadline_s
        self._language = language
        self._is_own = is_own
        self._on_heard = on_heard
        self._scope: CancelScope | None = None

    def hear(self, tasks: TaskGroup, action: HearOverlap) -> None:
        """Recognise it. One look at the words at a time, but the last one does not wait."""
        if self._scope is not None:
            if not action.is_complete:
                return
            self._scope.cancel()
        self._scope = CancelScope()
        tasks.start_soon(self._run, action, self._scope)

    async def _run(self, action: HearOverlap, scope: CancelScope) -> None:
        try:
            with scope:
                transcript = await self._host.transcribe(
                    self._audio.read(action.start_samples, action.end_samples),
                    AsrOptions(
                        language=self._settings.language or self._language() or None,
                        hotwords=self._settings.hotwords,
                        beam_size=1,
                        word_times=True,  # with them come the words' probabilities
                        trimmed=True,
                        provisional=True,  # a turn that it becomes is recognised again
                    ),
                    model=self._settings.asr_model,
                    priority=Priority.FINAL,
                    owner=self._owner,
                    deadline_s=anyio.current_time() + self._deadline_s,
                )
                is_echo = self._is_own(transcript.text)
                self._on_heard(_heard(action, EMPTY if is_echo else transcript))
        except SpeechError as error:
            log.info("overlap_not_heard", code=error.code)
        finally:
            if self._scope is scope:
                self._scope = None


def _heard(action: HearOverlap, transcript: Transcript) -> OverlapHeard:
    probabilities = [word.probability for word in transcript.words]
    return OverlapHeard(
        action.overlap_samples,
        action.end_samples,
        transcript.text,
        text_cues(transcript.text, transcript.language),
        sum(probabilities) / len(probabilities) if probabilities else 0.0,
        is_like_stop(transcript.text, transcript.language),
    )
