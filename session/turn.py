r"""The turn core: who has the floor, decided from events alone.

``step(state, event, settings) -> (state, actions)`` is pure: no clock, no I/O, no randomness. The user's side is
timed in received samples, which arrive as voice-activity frames. Where audio may not come, or come faster than it is
spoken, real time is needed: those timers are actions, and come back as events.

Two machines run side by side and meet at barge-in::

    user    IDLE --voiced--> USER --silence--> PAUSED --deadline--> COMMIT --final transcript--> PENDING --> IDLE
                              ^----- voiced -----/  \---- voiced ----/                            |
                              ^------------ voiced soon: the turn is reopened --------------------/

    agent   SILENT --say--> SPEAKING --played--> SILENT
                                \--barge-in, stop--> YIELD --final position or timer--> SILENT

Within USER the final transcript is begun at each short silence, on speculation: it is void if the user goes on, and
ready, or nearly so, if the turn is over. Within PAUSED the turn may be speculated on: ``SpeculateTurn``, and then
exactly one of ``CancelSpeculation`` and a ``CommitTurn`` with the same text.

Every state has an exit that needs no help from the user: USER ends after ``max_turn_s`` or when audio stops coming
(``InputStalled``), PAUSED by its deadline, COMMIT by the recogniser's answer (which has a deadline of its own, and
answers even when it fails) or by a timer if there is another text, PENDING by an answer that is heard or a timer, YIELD
by its timer. IDLE has a timer too, which only tells that nobody speaks.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from schemas.sessions import TurnSettings
from session.agent_side import final_position, item_played, start_next, stop_item, yield_floor
from session.turn_actions import NotifyIdle, NotifyKey, NotifyNoResponse, SetTimer, Timer
from session.turn_end import partial_ready, scored
from session.turn_events import (
    ClearRequested,
    CommitRequested,
    EndOfTurnScore,
    FinalPosition,
    FinalReady,
    InputStalled,
    ItemAudible,
    ItemPlayed,
    KeyPressed,
    MuteChanged,
    PartialReady,
    SayRequested,
    StopRequested,
    TimerExpired,
    TurnEvent,
    VadFrame,
)
from session.turn_state import AgentState, Step, TurnState, UserState
from session.user_side import clear_requested, commit_is_late, commit_requested, final_ready, input_stalled, vad_frame


def step(state: TurnState, event: TurnEvent, settings: TurnSettings) -> Step:
    """The state after an event, and what to do about it, in order."""
    state, actions = _taken(state, event, settings)
    state, started = start_next(state)
    state, timers = _timed(state, settings)
    return state, (*actions, *started, *timers)


def _taken(  # noqa: C901, PLR0911, PLR0912 - one case an event
    state: TurnState, event: TurnEvent, settings: TurnSettings
) -> Step:
    match event:
        case VadFrame():
            return vad_frame(state, event.probability, settings)
        case EndOfTurnScore():
            return scored(state, event, settings)
        case PartialReady():
            return partial_ready(state, event)
        case FinalReady():
            return final_ready(state, event, settings)
        case InputStalled():
            return input_stalled(state, settings)
        case TimerExpired():
            return _timer_expired(state, event, settings)
        case CommitRequested():
            return commit_requested(state, settings)
        case ClearRequested():
            return clear_requested(state, settings)
        case MuteChanged():
            return replace(state, is_muted=event.is_muted), ()
        case KeyPressed():
            return replace(state, timer=None if state.timer is Timer.IDLE else state.timer), (NotifyKey(event.key),)
        case SayRequested():
            state = replace(state, queue=(*state.queue, event.item_id))
            answers = state.eager is not None
            return replace(state, eager_items=(*state.eager_items, event.item_id)) if answers else state, ()
        case ItemAudible():
            answered = state.user is UserState.PENDING
            return replace(state, user=UserState.IDLE) if answered else state, ()
        case ItemPlayed():
            return item_played(state, event.item_id)
        case StopRequested():
            if event.item_id is not None:
                return stop_item(state, event.item_id, settings)
            return yield_floor(state, settings)
        case FinalPosition():
            return final_position(state, event.item_id)
        case _:
            assert_never(event)


def _timer_expired(state: TurnState, event: TimerExpired, settings: TurnSettings) -> Step:
    if event.generation != state.timer_generation:
        return state, ()
    match event.timer:
        case Timer.IDLE:
            return state, (NotifyIdle(),)
        case Timer.COMMIT:
            return commit_is_late(state, settings)
        case Timer.NO_RESPONSE:
            return replace(state, user=UserState.IDLE), (NotifyNoResponse(state.turn),)
        case _:
            assert_never(event.timer)


def _timed(state: TurnState, settings: TurnSettings) -> Step:
    """Each state that waits for something has its timer; one that was left is void."""
    timer, after_ms = _due(state, settings)
    if timer is state.timer:
        return state, ()
    state = replace(state, timer=timer, timer_generation=state.timer_generation + 1)
    return state, () if timer is None else (SetTimer(timer, after_ms, state.timer_generation),)


def _due(state: TurnState, settings: TurnSettings) -> tuple[Timer | None, int]:
    if state.user is UserState.COMMIT:
        return Timer.COMMIT, settings.commit_ms
    if state.user is UserState.PENDING:
        return Timer.NO_RESPONSE, settings.no_response_s * 1000
    if state.user is UserState.IDLE and state.agent is AgentState.SILENT:
        return Timer.IDLE, settings.idle_s * 1000
    return None, 0
