"""The end of the user's turn: how likely it is, when silence has lasted long enough, and what is made of it.

A pause is weighed whenever something new is known of it: an answer of the turn detector, which is asked again every
100 ms, or a text. That gives the deadline, and perhaps a speculation. The final transcript was begun with the first
silent frame, and is mostly there when the deadline falls.
"""

from __future__ import annotations

import math
from typing import Final

from msgspec.structs import replace

from schemas.audio import VAD_FRAME_SAMPLES
from schemas.sessions import TurnSettings
from session.agent_side import stop_item
from session.deadline import UNHEARD_MS, deadline_ms
from session.end_of_turn import end_of_turn_features, merged_score, pause_probability, probability
from session.turn_actions import (
    AmendTurn,
    CancelSpeculation,
    CommitReason,
    CommitTurn,
    FinalizeAsr,
    ScoreEndOfTurn,
    SpeculateTurn,
    TurnAction,
    TurnPaused,
)
from session.turn_events import EndOfTurnScore, FinalReady, PartialReady
from session.turn_state import HeardText, Step, TurnState, UserState, ms_of_samples, samples_of_ms

FRAME_MS: Final = ms_of_samples(VAD_FRAME_SAMPLES)
SCORE_EVERY_SAMPLES: Final = 3 * VAD_FRAME_SAMPLES
"""Silence between two scores of the turn detector, 96 ms: it rates the same ending higher as silence grows."""
EAGER_MS: Final = 200
"""No speculation before."""
MAX_EAGER: Final = 2
"""Speculations of a turn: who pauses often would have their agent begin an answer at each comma."""

CUT: Final = frozenset({CommitReason.COMMAND, CommitReason.LIMIT})
"""Such a turn is over whatever follows, and what follows is none of it."""
PROVISIONAL_LAG_MS: Final = 1_000
"""A text that lacks more of the turn than this is no substitute for the final one."""


def reaches(silent_samples: int, limit_ms: int) -> bool:
    """To the nearest frame: rounding up would make each silence up to a frame longer than was asked for."""
    return silent_samples + VAD_FRAME_SAMPLES // 2 >= samples_of_ms(limit_ms)


def reached_ms(limit_ms: int) -> int:
    """The silence of whole frames that is the first to reach a limit."""
    return FRAME_MS * math.ceil(limit_ms / FRAME_MS - 0.5)


def finalize(state: TurnState) -> Step:
    """Begin the final transcript, as if the turn were over."""
    state = replace(state, generation=state.generation + 1, finalizing=True, final_ready=False)
    return state, (FinalizeAsr(state.turn, state.generation, state.audio_samples, state.now_samples),)


def pause(state: TurnState, settings: TurnSettings, *, is_open: bool = True) -> Step:
    """The user has fallen silent. If the pause is not ``is_open``, it is over at once."""
    state, finalized = (state, ()) if state.finalizing else finalize(state)
    state = replace(state, user=UserState.PAUSED, finalizing=False, score=None, is_scored=False)
    paused = (TurnPaused(state.turn, state.last_voiced_samples), *finalized)
    if not is_open:
        return state, paused
    state, scored = _score(state, settings)
    state, weighed = weigh(state, settings)
    return state, (*paused, *scored, *weighed)


def _score(state: TurnState, settings: TurnSettings) -> Step:
    if settings.silence_duration_ms is not None:  # it alone decides
        return state, ()
    state = replace(state, scored_samples=state.now_samples)
    return state, (ScoreEndOfTurn(state.generation, state.audio_samples, state.now_samples),)


def paused_frame(state: TurnState, settings: TurnSettings) -> Step:
    """A frame of a pause that is not the onset of anything."""
    if state.voiced_samples:  # perhaps the user goes on: wait until this is an onset or over
        return state, ()
    if reaches(state.now_samples - state.last_voiced_samples, state.deadline_ms):
        return decide(state, settings, CommitReason.SILENCE)
    if state.now_samples - state.scored_samples < SCORE_EVERY_SAMPLES:
        return state, ()
    return _score(state, settings)


def scored(state: TurnState, event: EndOfTurnScore, settings: TurnSettings) -> Step:
    """The turn detector has answered."""
    if state.user is not UserState.PAUSED or event.generation != state.generation:
        return state, ()
    score = merged_score(state.score, event.probability, state.weights)
    return weigh(replace(state, score=score, is_scored=True), settings)


def weigh(state: TurnState, settings: TurnSettings) -> Step:
    """How likely this pause is the end, how long it may last, and whether to speculate on it."""
    heard = state.heard
    # A partial transcript that lacks the last word says nothing of how the turn ends.
    if heard is not None and not state.final_ready and heard.end_samples < state.last_voiced_samples:
        heard = None
    cues = None if heard is None else heard.cues
    silence_ms = ms_of_samples(state.now_samples - state.last_voiced_samples)
    features = end_of_turn_features(state.score, cues, silence_ms, 0.0 if heard is None else heard.stability)
    likely = probability(features, state.weights)
    in_pause = pause_probability(features, state.weights)
    wait_ms = deadline_ms(in_pause, cues, state.pause_ms, settings, state.weights.deadlines)
    if settings.silence_duration_ms is None:
        wait_ms = max(wait_ms, round(state.turn_pause_ms), 0 if state.is_scored else UNHEARD_MS)
    return _speculate(replace(state, probability=likely, deadline_ms=wait_ms), likely, settings)


def _speculate(state: TurnState, likely: float, settings: TurnSettings) -> Step:
    text = state.heard.text if state.heard is not None and state.final_ready else ""
    cancelled: tuple[TurnAction, ...] = ()
    if state.eager is not None and text not in {"", state.eager}:
        state, cancelled = cancel_speculation(state, settings)
    is_due = reaches(state.now_samples - state.last_voiced_samples, EAGER_MS)
    is_likely = likely >= settings.eager_threshold and (state.is_scored or settings.silence_duration_ms is not None)
    if not (text and is_due and is_likely) or state.eager is not None or state.eager_count >= MAX_EAGER:
        return state, cancelled
    state = replace(state, eager=text, eager_count=state.eager_count + 1)
    return state, (*cancelled, SpeculateTurn(state.turn, state.start_samples, state.last_voiced_samples, text, likely))


def cancel_speculation(state: TurnState, settings: TurnSettings) -> Step:
    """The turn is not over, or has another text: what the agent was given to say about it is dropped."""
    if state.eager is None:
        return state, ()
    dropped: list[TurnAction] = []
    item_ids = state.eager_items
    state = replace(state, eager=None, eager_items=())
    for item_id in item_ids:
        state, actions = stop_item(state, item_id, settings)
        dropped += actions
    return state, (CancelSpeculation(state.turn), *dropped)


def decide(state: TurnState, settings: TurnSettings, reason: CommitReason) -> Step:
    """The turn is over. It is committed as soon as its final transcript is there."""
    state = replace(state, user=UserState.COMMIT, decided_samples=state.now_samples, reason=reason)
    return commit(state, settings) if state.final_ready else (state, ())


def has_provisional_text(state: TurnState) -> bool:
    """Whether the newest partial transcript could stand for the final one."""
    heard = state.heard
    lag_samples = samples_of_ms(PROVISIONAL_LAG_MS)
    return heard is not None and bool(heard.text) and heard.end_samples >= state.last_voiced_samples - lag_samples


def partial_ready(state: TurnState, event: PartialReady) -> Step:
    """What was understood so far; the best there is if the final transcript does not come in time."""
    is_newer = state.heard is None or event.end_samples > state.heard.end_samples
    if event.turn != state.turn or state.final_ready or not is_newer:
        return state, ()
    heard = HeardText(event.text, event.language, event.cues, event.stability, event.end_samples)
    return replace(state, heard=heard), ()


def take_final(state: TurnState, event: FinalReady) -> TurnState:
    """Keep the final transcript."""
    end_samples = state.last_voiced_samples
    heard = HeardText(event.text, event.language, event.cues, event.stability, end_samples, is_failed=event.is_failed)
    return replace(state, heard=heard, final_ready=True)


def amend(state: TurnState, event: FinalReady) -> Step:
    """The final transcript of a turn that was committed without it."""
    state = replace(state, is_provisional=False)
    return state, () if event.is_failed else (AmendTurn(state.turn, event.text),)


def commit(state: TurnState, settings: TurnSettings, *, is_provisional: bool = False) -> Step:
    """The turn is complete, and its text goes out.

    A turn without words, a cough perhaps, is nothing to answer.
    """
    text = "" if state.heard is None else state.heard.text
    is_answerable = bool(text) or (state.heard is not None and state.heard.is_failed)
    cancelled: tuple[TurnAction, ...] = ()
    if state.eager != text:
        state, cancelled = cancel_speculation(state, settings)
    committed = CommitTurn(
        state.turn,
        state.start_samples,
        state.last_voiced_samples,
        state.decided_samples,
        text,
        "" if state.heard is None else state.heard.language,
        state.reason,
        state.probability,
        is_provisional,
    )
    state = replace(
        state,
        user=UserState.PENDING if is_answerable else UserState.IDLE,
        voiced_samples=0,
        final_ready=False,
        eager=None,
        eager_items=(),
        is_provisional=is_provisional,
        boundary_samples=state.decided_samples if state.reason in CUT else state.last_voiced_samples,
    )
    return state, (*cancelled, committed)
