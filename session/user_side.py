"""The user's side of the turn core: whether they have the floor.

When they have given it up is decided in :mod:`session.turn_end`.
"""

from __future__ import annotations

from typing import Final, assert_never

from msgspec.structs import replace

from schemas.audio import SESSION_RATE_HZ, VAD_FRAME_SAMPLES
from schemas.sessions import Interruption, TurnDetection, TurnSettings
from session.agent_side import yield_floor
from session.deadline import PAUSE_MAX_MS, learned_pause_ms
from session.overlap import is_echo
from session.turn_actions import (
    CancelFinal,
    ClearTurn,
    CommitReason,
    NotifyStalledInput,
    NotifyTurnLimit,
    PartialAsr,
    PauseItem,
    ReopenTurn,
    TurnResumed,
    TurnStarted,
)
from session.turn_end import (
    CUT,
    amend,
    cancel_speculation,
    commit,
    decide,
    finalize,
    has_provisional_text,
    pause,
    paused_frame,
    reaches,
    take_final,
    weigh,
)
from session.turn_events import FinalReady, VadFrame
from session.turn_state import (
    AgentState,
    Step,
    TurnState,
    UserState,
    has_floor,
    ms_of_samples,
    samples_of_ms,
)

PARTIAL_EVERY_SAMPLES: Final = SESSION_RATE_HZ // 2
"""New audio between two partial transcripts: twice a second reads as live and leaves the engine free half the time."""


def vad_frame(state: TurnState, frame: VadFrame, settings: TurnSettings) -> Step:
    """The next frame of the user's audio, which ends at ``now_samples``."""
    probability = 0.0 if is_echo(frame, settings) else frame.probability
    if state.user is UserState.USER:
        return _user_frame(state, probability, settings)
    onset_samples = samples_of_ms(settings.onset_ms)
    if state.user is UserState.COMMIT and state.reason in CUT:
        # What is said from here begins the next turn, once this one is committed.
        begun = state.voiced_samples >= onset_samples
        run = state.voiced_samples + VAD_FRAME_SAMPLES if begun else _voiced_run(state, probability, settings)
        return replace(state, voiced_samples=run), ()
    run = _voiced_run(state, probability, settings)
    if run != state.voiced_samples:  # in silence, which most frames are, it spares a copy of the state
        state = replace(state, voiced_samples=run)
    if run >= onset_samples:
        return _onset(state, settings)
    if state.user is UserState.PAUSED:
        return paused_frame(state, settings)
    return state, ()


def _voiced_run(state: TurnState, probability: float, settings: TurnSettings) -> int:
    """Length of the voiced run that ends with this frame: hysteresis, ``on`` to begin it and ``off`` to break it."""
    on = settings.vad_on if state.agent is AgentState.SILENT else max(settings.vad_on, settings.vad_on_speaking)
    threshold = min(on, settings.vad_off) if state.voiced_samples else on
    return state.voiced_samples + VAD_FRAME_SAMPLES if probability >= threshold else 0


def _onset(state: TurnState, settings: TurnSettings) -> Step:
    return _go_on(state, state.now_samples - state.voiced_samples, state.now_samples, settings)


def overlap_becomes_turn(state: TurnState, settings: TurnSettings) -> Step:
    """Who has spoken over the agent has the floor, once the agent is silent, or waits."""
    overlap = state.overlap
    is_over = state.agent is AgentState.SILENT or (overlap is not None and overlap.is_turn)
    if overlap is None or not is_over:
        return state, ()
    state = replace(state, overlap=None)
    return (
        (state, ()) if has_floor(state) else _go_on(state, overlap.start_samples, overlap.last_voiced_samples, settings)
    )


def _go_on(state: TurnState, onset_samples: int, last_voiced_samples: int, settings: TurnSettings) -> Step:
    """The user speaks: in a turn that was not over, or in a new one."""
    before = state
    state = replace(
        state,
        user=UserState.USER,
        voiced_samples=0,
        last_voiced_samples=last_voiced_samples,
        generation=state.generation + 1,
        finalizing=False,
        final_ready=False,
        score=None,
        probability=None,
        is_provisional=False,
    )
    if before.user in {UserState.PAUSED, UserState.COMMIT}:
        state, cancelled = cancel_speculation(state, settings)
        return state, (*cancelled, CancelFinal(), TurnResumed(state.turn, onset_samples))
    state, yielded = _interrupt(state, settings)
    if _is_reopened(before, onset_samples, settings):
        pause_ms = ms_of_samples(onset_samples - before.last_voiced_samples)
        state = _taught(state, pause_ms)
        voided = (CancelFinal(),) if before.is_provisional else ()
        return state, (*yielded, *voided, ReopenTurn(state.turn, onset_samples))
    state = _begin_turn(state, onset_samples, settings)
    return state, (*yielded, TurnStarted(state.turn, onset_samples))


def _taught(state: TurnState, pause_ms: float) -> TurnState:
    """A pause was taken for an end: the session learns from it a little, this turn at once."""
    again_ms = min(pause_ms, PAUSE_MAX_MS) if state.weights.waits_again else 0.0
    return replace(
        state,
        pause_ms=learned_pause_ms(state.pause_ms, pause_ms),
        turn_pause_ms=max(state.turn_pause_ms, again_ms),
    )


def _begin_turn(state: TurnState, start_samples: int, settings: TurnSettings) -> TurnState:
    pre_roll_samples = start_samples - samples_of_ms(settings.pre_roll_ms)
    return replace(
        state,
        user=UserState.USER,
        turn=state.turn + 1,
        start_samples=start_samples,
        audio_samples=max(0, state.boundary_samples, pre_roll_samples),
        partial_samples=start_samples,
        turn_pause_ms=0.0,
        heard=None,
        eager_count=0,
    )


def _interrupt(state: TurnState, settings: TurnSettings) -> Step:
    """An answer of which nothing was heard yet is not spoken over: there is nothing to weigh."""
    if state.agent is not AgentState.SPEAKING or state.item_id is None:
        return state, ()
    match state.interruption:
        case Interruption.INTERRUPTIBLE:
            return yield_floor(state, settings)
        case Interruption.HOLD:
            return replace(state, agent=AgentState.HELD), (PauseItem(state.item_id),)
        case Interruption.UNINTERRUPTIBLE:
            return state, ()
        case _:
            assert_never(state.interruption)


def _is_reopened(state: TurnState, onset_samples: int, settings: TurnSettings) -> bool:
    """Whether this onset goes on with the turn that was committed last, of which nothing was answered yet."""
    if state.user is not UserState.PENDING or state.reason in CUT:
        return False
    is_short = onset_samples - state.last_voiced_samples <= samples_of_ms(settings.reopen_ms)
    return is_short and onset_samples - state.start_samples < settings.max_turn_s * SESSION_RATE_HZ


def _user_frame(state: TurnState, probability: float, settings: TurnSettings) -> Step:
    silent_samples = state.now_samples - VAD_FRAME_SAMPLES - state.last_voiced_samples
    threshold = settings.vad_on if silent_samples else min(settings.vad_on, settings.vad_off)
    if probability < threshold:
        return _silent_frame(state, silent_samples + VAD_FRAME_SAMPLES, settings)
    state, voided = _void_final(replace(state, last_voiced_samples=state.now_samples))
    if _is_at_limit(state, settings):
        state, ended = _end_at_limit(state, settings)
        return state, (*voided, *ended)
    if state.now_samples - state.partial_samples < PARTIAL_EVERY_SAMPLES:
        return state, voided
    state = replace(state, partial_samples=state.now_samples)
    return state, (*voided, PartialAsr(state.turn, state.audio_samples, state.now_samples))


def _silent_frame(state: TurnState, silent_samples: int, settings: TurnSettings) -> Step:
    if _is_at_limit(state, settings):
        return _end_at_limit(state, settings)
    is_automatic = settings.detection is TurnDetection.AUTOMATIC
    # Who wants an end sooner than a pause does not want to wait for the turn detector.
    offset_ms = min(settings.offset_ms, settings.silence_duration_ms or settings.offset_ms)
    if is_automatic and reaches(silent_samples, offset_ms):
        state, paused = pause(state, settings)
        decides = settings.silence_duration_ms is not None and reaches(silent_samples, settings.silence_duration_ms)
        state, decided = decide(state, settings, CommitReason.SILENCE) if decides else (state, ())
        return state, (*paused, *decided)
    if not state.finalizing and reaches(silent_samples, settings.speculation_ms):
        return finalize(state)
    return state, ()


def _is_at_limit(state: TurnState, settings: TurnSettings) -> bool:
    return state.now_samples - state.start_samples >= settings.max_turn_s * SESSION_RATE_HZ


def _end_at_limit(state: TurnState, settings: TurnSettings) -> Step:
    state, ended = end_turn(state, settings, CommitReason.LIMIT)
    return state, (NotifyTurnLimit(state.turn), *ended)


def end_turn(state: TurnState, settings: TurnSettings, reason: CommitReason) -> Step:
    """End the turn that lasts, be it paused or not."""
    state, paused = (state, ()) if state.user is UserState.PAUSED else pause(state, settings, is_open=False)
    state, decided = decide(replace(state, voiced_samples=0), settings, reason)
    return state, (*paused, *decided)


def _void_final(state: TurnState) -> Step:
    """The user goes on: the final transcript that was begun lacks what comes now."""
    if not state.finalizing:
        return state, ()
    return replace(state, generation=state.generation + 1, finalizing=False, final_ready=False), (CancelFinal(),)


def input_stalled(state: TurnState, settings: TurnSettings) -> Step:
    """No audio arrives any more."""
    if state.user not in {UserState.USER, UserState.PAUSED}:
        return state, ()
    stalled = NotifyStalledInput(state.turn)
    if settings.detection is TurnDetection.MANUAL:
        return state, (stalled,)
    state, ended = end_turn(state, settings, CommitReason.STALLED)
    return state, (stalled, *ended)


def commit_requested(state: TurnState, settings: TurnSettings) -> Step:
    """The client ends the turn.

    With manual detection that is all audio since the last one, even if none of it sounded like speech.
    """
    if state.user in {UserState.USER, UserState.PAUSED}:
        return end_turn(state, settings, CommitReason.COMMAND)
    if not can_commit(state, settings):
        return state, ()
    start_samples = max(state.boundary_samples, state.now_samples - settings.max_turn_s * SESSION_RATE_HZ)
    state = replace(_begin_turn(state, start_samples, settings), last_voiced_samples=state.now_samples)
    started = TurnStarted(state.turn, state.start_samples)
    state, ended = end_turn(state, settings, CommitReason.COMMAND)
    return state, (started, *ended)


def can_commit(state: TurnState, settings: TurnSettings) -> bool:
    """Whether there is a turn that the client could end."""
    if has_floor(state):
        return state.user is not UserState.COMMIT
    return settings.detection is TurnDetection.MANUAL and state.now_samples > state.boundary_samples


def clear_requested(state: TurnState, settings: TurnSettings) -> Step:
    """The client drops the turn, and all audio so far."""
    if not has_floor(state):
        return replace(state, voiced_samples=0, boundary_samples=state.now_samples), ()
    cleared = replace(
        state,
        user=UserState.IDLE,
        voiced_samples=0,
        generation=state.generation + 1,
        finalizing=False,
        final_ready=False,
        boundary_samples=state.now_samples,
    )
    cleared, cancelled = cancel_speculation(cleared, settings)
    return cleared, (*cancelled, CancelFinal(), ClearTurn(state.turn))


def final_ready(state: TurnState, event: FinalReady, settings: TurnSettings) -> Step:
    """The final transcript asked for is there."""
    if event.generation != state.generation:
        return state, ()
    if state.is_provisional:
        return amend(state, event)
    match state.user:
        case UserState.COMMIT:
            return _commit(take_final(state, event), settings)
        case UserState.PAUSED:
            return weigh(take_final(state, event), settings)
        case UserState.USER if state.finalizing:
            return take_final(state, event), ()
        case _:
            return state, ()


def commit_is_late(state: TurnState, settings: TurnSettings) -> Step:
    """The final transcript was waited for long enough: another text will do, if there is one."""
    if state.user is not UserState.COMMIT or not has_provisional_text(state):
        return state, ()
    return _commit(state, settings, is_provisional=True)


def _commit(state: TurnState, settings: TurnSettings, *, is_provisional: bool = False) -> Step:
    committed, actions = commit(state, settings, is_provisional=is_provisional)
    if state.voiced_samples < samples_of_ms(settings.onset_ms):
        return committed, actions
    committed, begun = _onset(replace(committed, voiced_samples=state.voiced_samples), settings)
    return committed, (*actions, *begun)
