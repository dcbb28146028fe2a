"""The user's side of the turn core: whether they have the floor, and when they have given it up."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from schemas.audio import SESSION_RATE_HZ, VAD_FRAME_SAMPLES
from schemas.sessions import TurnSettings
from session.agent_side import start_next, yield_floor
from session.turn_actions import (
    CancelFinal,
    CommitTurn,
    FinalizeAsr,
    PartialAsr,
    ScoreEndOfTurn,
    TurnPaused,
    TurnResumed,
    TurnStarted,
)
from session.turn_state import AgentState, Step, TurnState, UserState, samples_of_ms

PARTIAL_EVERY_SAMPLES: Final = SESSION_RATE_HZ // 2
"""New audio between two partial transcripts: twice a second reads as live and leaves the engine free half the time."""
SCORE_EVERY_SAMPLES: Final = SESSION_RATE_HZ // 5
"""Silence between two scores of the turn detector: it rates the same ending higher as silence grows."""


def vad_frame(state: TurnState, probability: float, settings: TurnSettings) -> Step:
    """The next frame of the user's audio."""
    state = replace(state, now_samples=state.now_samples + VAD_FRAME_SAMPLES)
    if state.user is UserState.USER:
        return _user_frame(state, probability, settings)
    onset_samples = samples_of_ms(_onset_ms(state, settings))
    decided_after_samples = state.decided_samples - state.start_samples
    if state.user is UserState.COMMIT and decided_after_samples >= settings.max_turn_s * SESSION_RATE_HZ:
        # A turn at its limit does not go on. What is said from here begins the next one, once this one is committed.
        begun = state.voiced_samples >= onset_samples
        run = state.voiced_samples + VAD_FRAME_SAMPLES if begun else _voiced_run(state, probability, settings)
        return replace(state, voiced_samples=run), ()
    state = replace(state, voiced_samples=_voiced_run(state, probability, settings))
    if state.voiced_samples >= onset_samples:
        return _onset(state, settings)
    if state.user is UserState.PAUSED:
        return _paused_frame(state, settings)
    return state, ()


def _voiced_run(state: TurnState, probability: float, settings: TurnSettings) -> int:
    """Length of the voiced run that ends with this frame: hysteresis, ``on`` to begin it and ``off`` to break it."""
    on = settings.vad_on if state.agent is AgentState.SILENT else max(settings.vad_on, settings.vad_on_speaking)
    threshold = min(on, settings.vad_off) if state.voiced_samples else on
    return state.voiced_samples + VAD_FRAME_SAMPLES if probability >= threshold else 0


def _onset_ms(state: TurnState, settings: TurnSettings) -> int:
    """Over the agent's voice it takes longer to be sure: a cough or an "mhm" must not stop it."""
    audible = state.agent is AgentState.SPEAKING and state.user is UserState.IDLE
    return max(settings.onset_ms, settings.hold_ms) if audible else settings.onset_ms


def _onset(state: TurnState, settings: TurnSettings) -> Step:
    onset_samples = state.now_samples - state.voiced_samples
    state = replace(
        state,
        voiced_samples=0,
        last_voiced_samples=state.now_samples,
        generation=state.generation + 1,
        speculating=False,
        final_ready=False,
        score=None,
    )
    if state.user is not UserState.IDLE:
        return replace(state, user=UserState.USER), (CancelFinal(), TurnResumed(state.turn, onset_samples))
    state = replace(
        state,
        user=UserState.USER,
        turn=state.turn + 1,
        start_samples=onset_samples,
        partial_samples=onset_samples,
    )
    started = TurnStarted(state.turn, onset_samples)
    if settings.barge_in and state.agent is AgentState.SPEAKING:
        state, yielded = yield_floor(state, settings)
        return state, (*yielded, started)
    return state, (started,)


def _user_frame(state: TurnState, probability: float, settings: TurnSettings) -> Step:
    silent_samples = state.now_samples - VAD_FRAME_SAMPLES - state.last_voiced_samples
    threshold = settings.vad_on if silent_samples else min(settings.vad_on, settings.vad_off)
    if probability < threshold:
        return _silent_frame(state, silent_samples + VAD_FRAME_SAMPLES, settings)
    state, voided = _void_speculation(replace(state, last_voiced_samples=state.now_samples))
    if _is_at_limit(state, settings):
        state, ended = _end_now(state, settings)
        return state, (*voided, *ended)
    if state.now_samples - state.partial_samples < PARTIAL_EVERY_SAMPLES:
        return state, voided
    state = replace(state, partial_samples=state.now_samples)
    return state, (*voided, PartialAsr(state.turn, _audio_start(state, settings), state.now_samples))


def _silent_frame(state: TurnState, silent_samples: int, settings: TurnSettings) -> Step:
    if _reaches(silent_samples, settings.offset_ms):
        state, paused = _pause(state, settings)
        # Who wants an end as soon as this does not want to wait for the turn detector.
        decides = _reaches(silent_samples, settings.min_silence_ms)
        state, decided = _decide(state, settings) if decides else (state, ())
        return state, (*paused, *decided)
    if _is_at_limit(state, settings):
        return _end_now(state, settings)
    if not state.speculating and _reaches(silent_samples, settings.speculation_ms):
        return _finalize(state, settings)
    return state, ()


def _reaches(silent_samples: int, limit_ms: int) -> bool:
    """To the nearest frame: rounding up would make each silence up to a frame longer than was asked for."""
    return silent_samples + VAD_FRAME_SAMPLES // 2 >= samples_of_ms(limit_ms)


def _is_at_limit(state: TurnState, settings: TurnSettings) -> bool:
    return state.now_samples - state.start_samples >= settings.max_turn_s * SESSION_RATE_HZ


def _end_now(state: TurnState, settings: TurnSettings) -> Step:
    state, paused = _pause(state, settings)
    state, decided = _decide(state, settings)
    return state, (*paused, *decided)


def _finalize(state: TurnState, settings: TurnSettings) -> Step:
    state = replace(state, generation=state.generation + 1, speculating=True, final_ready=False)
    return state, (FinalizeAsr(state.turn, state.generation, _audio_start(state, settings), state.now_samples),)


def _void_speculation(state: TurnState) -> Step:
    """The user goes on: the final transcript that was begun lacks what comes now."""
    if not state.speculating:
        return state, ()
    return replace(state, generation=state.generation + 1, speculating=False, final_ready=False), (CancelFinal(),)


def _audio_start(state: TurnState, settings: TurnSettings) -> int:
    return max(0, state.start_samples - samples_of_ms(settings.pre_roll_ms))


def _pause(state: TurnState, settings: TurnSettings) -> Step:
    start_samples, end_samples = _audio_start(state, settings), state.now_samples
    state, finalized = (state, ()) if state.speculating else _finalize(state, settings)
    state = replace(state, user=UserState.PAUSED, speculating=False, score=None, scored_samples=end_samples)
    return state, (
        TurnPaused(state.turn, state.last_voiced_samples),
        *finalized,
        ScoreEndOfTurn(state.generation, start_samples, end_samples),
    )


def _paused_frame(state: TurnState, settings: TurnSettings) -> Step:
    if state.voiced_samples:  # perhaps the user goes on: wait until this is an onset or over
        return state, ()
    complete = state.score is None or state.score >= settings.end_of_turn_threshold
    limit_ms = settings.min_silence_ms if complete else max(settings.min_silence_ms, settings.max_silence_ms)
    if _reaches(state.now_samples - state.last_voiced_samples, limit_ms):
        return _decide(state, settings)
    if state.now_samples - state.scored_samples < SCORE_EVERY_SAMPLES:
        return state, ()
    state = replace(state, scored_samples=state.now_samples)
    return state, (ScoreEndOfTurn(state.generation, _audio_start(state, settings), state.now_samples),)


def _decide(state: TurnState, settings: TurnSettings) -> Step:
    state = replace(state, user=UserState.COMMIT, decided_samples=state.now_samples)
    return _commit(state, settings) if state.final_ready else (state, ())


def final_ready(state: TurnState, generation: int, settings: TurnSettings) -> Step:
    """The final transcript asked for is there."""
    if generation != state.generation:
        return state, ()
    if state.user is UserState.COMMIT:
        return _commit(state, settings)
    return replace(state, final_ready=state.speculating or state.user is UserState.PAUSED), ()


def _commit(state: TurnState, settings: TurnSettings) -> Step:
    commit = CommitTurn(state.turn, state.start_samples, state.last_voiced_samples, state.decided_samples)
    state = replace(state, user=UserState.IDLE, final_ready=False)
    if state.voiced_samples >= samples_of_ms(settings.onset_ms):
        state, begun = _onset(state, settings)
        return state, (commit, *begun)
    state, started = start_next(replace(state, voiced_samples=0))
    return state, (commit, *started)


def input_stalled(state: TurnState, settings: TurnSettings) -> Step:
    """No audio arrives any more."""
    if state.user is UserState.PAUSED:
        return _decide(replace(state, voiced_samples=0), settings)
    return _end_now(state, settings) if state.user is UserState.USER else (state, ())
