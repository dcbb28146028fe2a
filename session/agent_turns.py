"""The agent's items as the client hears them: what the turn core decides of them, spoken and published."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from anyio.abc import TaskGroup

from schemas import events
from schemas.events import ServerEvent
from session.overlap_recognition import OverlapRecognizer
from session.speaking import Speaker
from session.turn_actions import (
    AgentAction,
    AwaitFinalPosition,
    BumpEpoch,
    CancelResponse,
    CancelSpeech,
    DropItem,
    DuckItem,
    EndItem,
    FlushPlayback,
    HearOverlap,
    NotifyBackchannel,
    PauseItem,
    ResumeItem,
    StartItem,
    TruncateItem,
    UnduckItem,
)
from session.turn_state import ms_of_samples


class AgentTurns:
    """Those of one session.

    Args:
        speaker: Speaks.
        recognizer: Asked what the user says over the agent.
        publish: Takes an event.
    """

    def __init__(self, speaker: Speaker, recognizer: OverlapRecognizer, publish: Callable[[ServerEvent], None]) -> None:
        self._speaker = speaker
        self._recognizer = recognizer
        self._publish = publish

    def perform(self, tasks: TaskGroup, action: AgentAction) -> None:  # noqa: C901, PLR0912 - one case an action
        """Do what the core wants."""
        match action:
            case StartItem():
                self._speaker.start(tasks, action.item_id)
            case DuckItem():
                self._speaker.duck(action.item_id, action.gain_db)
            case UnduckItem():
                self._speaker.unduck(action.item_id)
            case PauseItem():
                self._speaker.pause(action.item_id)
            case ResumeItem():
                self._speaker.resume(action.item_id)
            case HearOverlap():
                self._recognizer.hear(tasks, action)
            case NotifyBackchannel():
                self._publish(
                    events.SpeechBackchannel(
                        started_ms=ms_of_samples(action.start_samples),
                        stopped_ms=ms_of_samples(action.stop_samples),
                        text=action.text,
                    )
                )
            case BumpEpoch():
                self._speaker.bump_epoch()
            case FlushPlayback():
                self._speaker.flush(action.item_id)
            case CancelSpeech():
                self._speaker.cancel(action.item_id)
            case CancelResponse():
                reason = "user" if action.by_user else "client"
                self._publish(events.ResponseCancelled(item_ids=action.item_ids, reason=reason))
            case AwaitFinalPosition():
                self._speaker.await_final_position(tasks, action.item_id, action.timeout_ms)
            case TruncateItem() | DropItem():
                self._speaker.end(action.item_id, interrupted=True)
            case EndItem():
                self._speaker.end(action.item_id, interrupted=False)
            case _:
                assert_never(action)
