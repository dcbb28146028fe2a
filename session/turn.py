r"""The turn core: who has the floor, decided from events alone.

``step(state, event, settings) -> (state, actions)`` is pure: no clock, no I/O, no randomness. The user's side is
timed in received samples, which arrive as voice-activity frames. Where audio may not come, or come faster than it is
spoken, real time is needed: those timers are actions, and come back as events.

Two machines run side by side and meet at barge-in::

    user    IDLE --voiced--> USER --silence--> PAUSED --deadline--> COMMIT --final transcript--> PENDING --> IDLE
                              ^----- voiced -----/  \---- voiced ----/                            |
                              ^------------ voiced soon: the turn is reopened --------------------/

    agent   SILENT --say--> SPEAKING --played--> SILENT
                              |  ^--no interruption--\------------------\
                              |--voiced--> DUCKED --voiced longer--> HELD
                              |              |--interruption-----------|
                              \--stop--------\------------------------\---> YIELD --final position or timer--> SILENT

A voice over the agent's is weighed by :mod:`session.overlap`. It is the user's turn, from its first sample, only when
that finds an interruption.

Within USER the final transcript is begun at each short silence, on speculation: it is void if the user goes on, and
ready, or nearly so, if the turn is over. Within PAUSED the turn may be speculated on: ``SpeculateTurn``, and then
exactly one of ``CancelSpeculation`` and a ``CommitTurn`` with the same text.

Every state has an exit that needs no help from the user: USER ends after ``max_turn_s`` or when audio stops coming
(``InputStalled``), PAUSED by its deadline, COMMIT by the recogniser's answer (which has a deadline of its own, and
answers even when it fails) or by a timer if there is another text, PENDING by an answer that is heard or a timer.
DUCKED and HELD end by a verdict: by the words, the silence after them, their length, or when audio stops coming; or
with the user's turn. YIELD ends by its timer. IDLE has a timer too, which only tells that nobody speaks.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from schemas.audio import VAD_FRAME_SAMPLES
from schemas.sessions import TurnSettings
from session.agent_side import (
    final_position,
    item_audible,
    item_played,
    say_requested,
    start_next,
    stop_item,
    yield_floor,
)
from session.overlap import (
    drop_overlap,
    go_on,
    overlap_frame,
    overlap_heard,
    overlap_stalled,
    overlaps,
    take_floor,
)
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
    OverlapHeard,
    PartialReady,
    SayRequested,
    StopRequested,
    TimerExpired,
    TurnEvent,
    VadFrame,
)
from session.turn_state import AgentState, Step, TurnState, UserState, has_floor
from session.user_side import (
    clear_requested,
    commit_is_late,
    commit_requested,
    final_ready,
    input_stalled,
    overlap_becomes_turn,
    vad_frame,
)


def step(state: TurnState, event: TurnEvent, settings: TurnSettings) -> Step:
    """The state after an event, and what to do about it, in order."""
    state, actions = _taken(state, event, settings)
    state, opened = overlap_becomes_turn(state, settings)
    if state.agent is AgentState.HELD and state.overlap is None and not has_floor(state):
        state, started = go_on(state)  # it waited for the end of the user's turn
    else:
        state, started = start_next(state)
    state, timers = _timed(state, settings)
    return state, (*actions, *opened, *started, *timers)


def _taken(  # noqa: C901, PLR0911, PLR0912 - one case an event
    state: TurnState, event: TurnEvent, settings: TurnSettings
) -> Step:
    match event:
        case VadFrame():
            return _vad_frame(state, event, settings)
        case OverlapHeard():
            return overlap_heard(state, event, settings)
        case EndOfTurnScore():
            return scored(state, event, settings)
        case PartialReady():
            return partial_ready(state, event)
        case FinalReady():
            return final_ready(state, event, settings)
        case InputStalled():
            return input_stalled(state, settings) if state.overlap is None else overlap_stalled(state, settings)
        case TimerExpired():
            return _timer_expired(state, event, settings)
        case CommitRequested():
            state, yielded = (state, ()) if state.overlap is None else take_floor(state, settings)
            state, ended = commit_requested(replace(state, overlap=None), settings)
            return state, (*yielded, *ended)
        case ClearRequested():
            state, resumed = (state, ()) if state.overlap is None else drop_overlap(state)
            state, cleared = clear_requested(state, settings)
            return state, (*resumed, *cleared)
        case MuteChanged():
            return replace(state, is_muted=event.is_muted), ()
        case KeyPressed():
            return replace(state, timer=None if state.timer is Timer.IDLE else state.timer), (NotifyKey(event.key),)
        case SayRequested():
            return say_requested(state, event, settings)
        case ItemAudible():
            state = item_audible(state, event.item_id)
            answered = state.user is UserState.PENDING
            return replace(state, user=UserState.IDLE) if answered else state, ()
        case ItemPlayed():
            return item_played(state, event.item_id)
        case StopRequested():
            if event.item_id is not None:
                return stop_item(state, event.item_id, settings)
            return yield_floor(state, settings, by_user=False)
        case FinalPosition():
            return final_position(state, event.item_id)
        case _:
            assert_never(event)


def _vad_frame(state: TurnState, frame: VadFrame, settings: TurnSettings) -> Step:
    state = replace(state, now_samples=state.now_samples + VAD_FRAME_SAMPLES)
    frame = replace(frame, probability=0.0) if state.is_muted else frame
    return overlap_frame(state, frame, settings) if overlaps(state) else vad_frame(state, frame, settings)


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
