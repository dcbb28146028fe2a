r"""The turn core: who has the floor, decided from events alone.

``step(state, event, settings) -> (state, actions)`` is pure: no clock, no I/O, no randomness. The user's side is
timed in received samples, which arrive as voice-activity frames. The agent's side needs real time in one place, the
wait for the client's last playback position; that timer is an action, and comes back as an event.

Two machines run side by side and meet at barge-in::

    user    IDLE --voiced--> USER --silence--> PAUSED --deadline--> COMMIT --final transcript--> IDLE
                              ^----- voiced -----/  \---- voiced ----/

    agent   SILENT --say--> SPEAKING --played--> SILENT
                                \--barge-in, stop--> YIELD --final position or timer--> SILENT

Within USER the final transcript is begun at each short silence, on speculation: it is void if the user goes on, and
ready, or nearly so, if the turn is over.

Every state has an exit that needs no help from the user: USER ends after ``max_turn_s`` or when audio stops coming
(``InputStalled``), PAUSED by its deadline, COMMIT by the recogniser's answer (which has a deadline of its own, and
answers even when it fails), YIELD by its timer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

from schemas.audio import SESSION_RATE_HZ, VAD_FRAME_SAMPLES
from schemas.sessions import TurnSettings
from session.turn_actions import (
    AwaitFinalPosition,
    BumpEpoch,
    CancelFinal,
    CancelSpeech,
    CommitTurn,
    DropItem,
    EndItem,
    FinalizeAsr,
    FlushPlayback,
    PartialAsr,
    ScoreEndOfTurn,
    StartItem,
    TruncateItem,
    TurnAction,
    TurnPaused,
    TurnResumed,
    TurnStarted,
)
from session.turn_events import (
    EndOfTurnScore,
    FinalPosition,
    FinalReady,
    InputStalled,
    ItemPlayed,
    SayRequested,
    StopRequested,
    TurnEvent,
    VadFrame,
)

PARTIAL_EVERY_SAMPLES: Final = SESSION_RATE_HZ // 2
"""New audio between two partial transcripts: twice a second reads as live and leaves the engine free half the time."""
SCORE_EVERY_SAMPLES: Final = SESSION_RATE_HZ // 5
"""Silence between two scores of the turn detector: it rates the same ending higher as silence grows."""


class UserState(StrEnum):
    """The user's side."""

    IDLE = "idle"
    USER = "user"
    PAUSED = "paused"
    COMMIT = "commit"


class AgentState(StrEnum):
    """The agent's side."""

    SILENT = "silent"
    SPEAKING = "speaking"
    YIELD = "yield"


Step = tuple["TurnState", tuple[TurnAction, ...]]


class TurnState(Struct, frozen=True):
    """All the core remembers."""

    user: UserState = UserState.IDLE
    agent: AgentState = AgentState.SILENT
    now_samples: int = 0
    """Audio received."""
    voiced_samples: int = 0
    """Length of the voiced run that may become an onset; 0 in silence and within USER."""
    turn: int = 0
    """Number of the current turn, or of the last one."""
    start_samples: int = 0
    """Onset of the turn."""
    last_voiced_samples: int = 0
    """End of the last voiced frame."""
    partial_samples: int = 0
    """Audio already given to a partial or final transcript."""
    scored_samples: int = 0
    """Audio at which the turn detector was last asked."""
    decided_samples: int = 0
    """When the turn was decided; valid in COMMIT."""
    generation: int = 0
    """Counts requests for a final transcript; answers of an older one are void."""
    speculating: bool = False
    """Whether, within USER, a final transcript was asked for of the turn up to the silence now."""
    final_ready: bool = False
    score: float | None = None
    """The turn detector's newest answer about this pause."""
    item_id: str | None = None
    """What the agent is speaking, or has just been stopped in."""
    queue: tuple[str, ...] = ()
    """Items that wait for the floor."""


def samples_of_ms(ms: int) -> int:
    """Milliseconds in samples of the session clock."""
    return ms * SESSION_RATE_HZ // 1000


def ms_of_samples(samples: int) -> int:
    """Samples of the session clock in whole milliseconds."""
    return samples * 1000 // SESSION_RATE_HZ


def step(state: TurnState, event: TurnEvent, settings: TurnSettings) -> Step:
    """The state after an event, and what to do about it, in order."""
    match event:
        case VadFrame():
            return _vad_frame(state, event.probability, settings)
        case EndOfTurnScore():
            current = state.user is UserState.PAUSED and event.generation == state.generation
            return (replace(state, score=event.probability), ()) if current else (state, ())
        case FinalReady():
            return _final_ready(state, event.generation, settings)
        case InputStalled():
            return _input_stalled(state, settings)
        case SayRequested():
            return _start_next(replace(state, queue=(*state.queue, event.item_id)))
        case ItemPlayed():
            return _item_played(state, event.item_id)
        case StopRequested():
            if event.item_id is not None:
                return _stop_item(state, event.item_id, settings)
            return _yield_floor(state, settings)
        case FinalPosition():
            return _final_position(state, event.item_id)
        case _:
            assert_never(event)


# The user's side


def _vad_frame(state: TurnState, probability: float, settings: TurnSettings) -> Step:
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
    return max(settings.onset_ms, settings.barge_in_ms) if audible else settings.onset_ms


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
        state, yielded = _yield_floor(state, settings)
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


def _final_ready(state: TurnState, generation: int, settings: TurnSettings) -> Step:
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
    state, started = _start_next(replace(state, voiced_samples=0))
    return state, (commit, *started)


def _input_stalled(state: TurnState, settings: TurnSettings) -> Step:
    if state.user is UserState.PAUSED:
        return _decide(replace(state, voiced_samples=0), settings)
    return _end_now(state, settings) if state.user is UserState.USER else (state, ())


# The agent's side


def _start_next(state: TurnState) -> Step:
    """The next queued item, if nobody has the floor."""
    if not state.queue or state.agent is not AgentState.SILENT or state.user is not UserState.IDLE:
        return state, ()
    item_id, *rest = state.queue
    return replace(state, agent=AgentState.SPEAKING, item_id=item_id, queue=tuple(rest)), (StartItem(item_id),)


def _item_played(state: TurnState, item_id: str) -> Step:
    if state.agent is not AgentState.SPEAKING or item_id != state.item_id:
        return state, ()
    state, started = _start_next(replace(state, agent=AgentState.SILENT, item_id=None))
    return state, (EndItem(item_id), *started)


def _yield_floor(state: TurnState, settings: TurnSettings) -> Step:
    dropped = tuple(DropItem(item_id) for item_id in state.queue)
    return _stop_current(replace(state, queue=()), settings, dropped)


def _stop_item(state: TurnState, item_id: str, settings: TurnSettings) -> Step:
    if item_id in state.queue:
        rest = tuple(queued for queued in state.queue if queued != item_id)
        return replace(state, queue=rest), (DropItem(item_id),)
    return _stop_current(state, settings) if item_id == state.item_id else (state, ())


def _stop_current(state: TurnState, settings: TurnSettings, dropped: tuple[DropItem, ...] = ()) -> Step:
    if state.agent is not AgentState.SPEAKING or state.item_id is None:
        return state, dropped
    item_id = state.item_id
    return replace(state, agent=AgentState.YIELD), (
        BumpEpoch(),
        FlushPlayback(item_id),
        CancelSpeech(item_id),
        *dropped,
        AwaitFinalPosition(item_id, settings.final_position_ms),
    )


def _final_position(state: TurnState, item_id: str) -> Step:
    if state.agent is not AgentState.YIELD or item_id != state.item_id:
        return state, ()
    state, started = _start_next(replace(state, agent=AgentState.SILENT, item_id=None))
    return state, (TruncateItem(item_id), *started)
