"""The user's turns as the client sees them: what the turn core decides of them, published and handed out."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never, cast

import structlog
from anyio.abc import TaskGroup
from msgspec import Struct
from msgspec.structs import replace

from schemas import events
from schemas.audio import SESSION_RATE_HZ
from schemas.errors import ErrorInfo
from schemas.events import DtmfDigit, InputCommand, ServerEvent
from schemas.sessions import UserTurn
from schemas.transcripts import Word
from session.heard_turns import HeardTurns
from session.hypothesis import LocalAgreement
from session.lexicons import text_cues
from session.recognition import TurnRecognizer
from session.turn_actions import (
    AmendTurn,
    CancelFinal,
    CancelSpeculation,
    ClearTurn,
    CommitTurn,
    FinalizeAsr,
    NotifyIdle,
    NotifyKey,
    NotifyNoResponse,
    NotifyStalledInput,
    NotifyTurnLimit,
    PartialAsr,
    ReopenTurn,
    ScoreEndOfTurn,
    SpeculateTurn,
    TurnPaused,
    TurnResumed,
    TurnStarted,
    UserAction,
)
from session.turn_events import (
    ClearRequested,
    CommitRequested,
    FinalReady,
    KeyPressed,
    MuteChanged,
    PartialReady,
    TurnEvent,
)
from session.turn_state import ms_of_samples

logger = structlog.get_logger("antiphon.session")


class _Text(Struct, frozen=True):
    text: str
    language: str
    words: tuple[Word, ...]
    error: ErrorInfo | None = None


class UserTurns:
    """Those of one session.

    Args:
        recognizer: Asked for what the core wants to know; has the transcripts.
        heard_turns: Who hands turns out.
        publish: Takes an event.
    """

    def __init__(
        self,
        session_id: str,
        recognizer: TurnRecognizer,
        heard_turns: HeardTurns,
        publish: Callable[[ServerEvent], None],
    ) -> None:
        self._session_id = session_id
        self._recognizer = recognizer
        self._heard_turns = heard_turns
        self._publish = publish
        self._turn_started_samples = 0
        # Where the pause began: an action that said so would make logs of earlier versions replay otherwise.
        self._stopped_samples = 0

    def perform(self, tasks: TaskGroup, action: UserAction) -> None:  # noqa: C901, PLR0912 - one case an action
        """Do what the core wants."""
        match action:
            case TurnStarted():
                self._turn_started_samples = action.start_samples
                started_ms = ms_of_samples(action.start_samples)
                self._publish(events.SpeechStarted(turn=action.turn, started_ms=started_ms))
            case TurnPaused():
                self._stopped_samples = action.stop_samples
                stopped_ms = ms_of_samples(action.stop_samples)
                self._publish(events.SpeechStopped(turn=action.turn, stopped_ms=stopped_ms))
            case TurnResumed():
                resumed_ms = ms_of_samples(action.resume_samples)
                self._publish(events.SpeechResumed(turn=action.turn, resumed_ms=resumed_ms))
            case PartialAsr():
                self._recognizer.partial(tasks, action)
            case FinalizeAsr():
                self._recognizer.finalize(tasks, action)
            case ScoreEndOfTurn():
                self._recognizer.score(tasks, action, self._stopped_samples)
            case CancelFinal():
                self._recognizer.void_final()
            case SpeculateTurn():
                self._speculate(action)
            case CancelSpeculation():
                self._heard_turns.void_eager()
                self._publish(events.TurnResumed(turn=action.turn))
            case CommitTurn():
                self._commit(action)
            case AmendTurn():
                final = self._final()
                self._publish(
                    events.TurnAmended(turn=action.turn, text=final.text, language=final.language, words=final.words)
                )
            case ReopenTurn():
                self._heard_turns.reopen(action.turn)
                self._publish(events.TurnReopened(turn=action.turn, resumed_ms=ms_of_samples(action.resume_samples)))
            case ClearTurn():
                self._publish(events.TurnCleared(turn=action.turn))
                self._heard_turns.close()
            case NotifyTurnLimit():
                self._publish(events.TurnLimit(turn=action.turn))
            case NotifyStalledInput():
                self._publish(events.InputStalled(turn=action.turn))
            case NotifyNoResponse():
                self._publish(events.TurnNoResponse(turn=action.turn))
            case NotifyIdle():
                self._publish(events.SessionIdle())
            case NotifyKey():
                self._publish(events.DtmfReceived(digit=cast("DtmfDigit", action.key)))
            case _:
                assert_never(action)

    def partial_of(self, action: PartialAsr, words: LocalAgreement, language: str) -> PartialReady:
        """What the core is told of a partial transcript."""
        return PartialReady(
            turn=action.turn,
            text=words.text,
            language=language,
            cues=text_cues(words.text, language),
            stability=words.stability,
            end_samples=action.end_samples,
        )

    def publish_partial(self, action: PartialAsr, words: LocalAgreement) -> None:
        """Show it."""
        self._publish(
            events.TranscriptPartial(
                turn=action.turn,
                text=words.text,
                stable_text=words.stable_text,
                audio_end_ms=ms_of_samples(action.end_samples),
            )
        )

    def final_of(self, generation: int) -> FinalReady:
        """What the core is told of the final transcript."""
        final = self._recognizer.final
        return FinalReady(
            generation=generation,
            text=final.text,
            language=final.language,
            cues=text_cues(final.text, final.language, final.sentence_end),
            stability=self._recognizer.final_stability,
            is_failed=self._recognizer.final_error is not None,
        )

    def _speculate(self, action: SpeculateTurn) -> None:
        final = self._final()
        started_ms, ended_ms = ms_of_samples(action.start_samples), ms_of_samples(action.end_samples)
        self._publish(
            events.TurnEager(
                turn=action.turn,
                text=final.text,
                language=final.language,
                started_ms=started_ms,
                ended_ms=ended_ms,
                probability=round(action.probability, 3),
                words=final.words,
            )
        )
        self._heard_turns.offer_eager(
            UserTurn(
                turn=action.turn,
                text=final.text,
                language=final.language,
                started_ms=started_ms,
                ended_ms=ended_ms,
                words=final.words,
                confirmed=False,
            )
        )

    def _commit(self, action: CommitTurn) -> None:
        heard = _Text(action.text, action.language, ()) if action.is_provisional else self._final()
        self._publish(
            events.TurnEnded(
                turn=action.turn,
                text=heard.text,
                language=heard.language,
                started_ms=ms_of_samples(action.start_samples),
                ended_ms=ms_of_samples(action.end_samples),
                decided_ms=ms_of_samples(action.decided_samples),
                words=heard.words,
                error=heard.error,
                reason=action.reason.value,
                provisional=action.is_provisional,
            )
        )
        logger.info(
            "turn_ended",
            session_id=self._session_id,
            turn=action.turn,
            reason=action.reason.value,
            speech_ms=ms_of_samples(action.end_samples - action.start_samples),
            waited_ms=ms_of_samples(action.decided_samples - action.end_samples),
        )
        self._heard_turns.close()

    def _final(self) -> _Text:
        final = self._recognizer.final
        words = _from_onset(final.words, self._turn_started_samples / SESSION_RATE_HZ)
        return _Text(final.text, final.language, words, self._recognizer.final_error)


def _from_onset(words: tuple[Word, ...], onset_s: float) -> tuple[Word, ...]:
    """The recogniser lets the first word begin with the audio it gets, which is the pre-roll's silence."""
    return tuple(
        replace(word, start_s=max(word.start_s, onset_s)) if word.start_s < onset_s < word.end_s else word
        for word in words
    )


def core_event(command: InputCommand) -> TurnEvent:
    """What the core is told of a client's command."""
    match command:
        case events.Commit():
            return CommitRequested()
        case events.Clear():
            return ClearRequested()
        case events.Mute():
            return MuteChanged(command.muted)
        case events.Dtmf():
            return KeyPressed(command.digit)
        case _:
            assert_never(command)
