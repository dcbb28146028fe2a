"""The agent's side of the turn core: whether it has the floor, and how it gives it up."""

from __future__ import annotations

from msgspec.structs import replace

from schemas.sessions import TurnSettings
from session.turn_actions import (
    AwaitFinalPosition,
    BumpEpoch,
    CancelSpeech,
    DropItem,
    EndItem,
    FlushPlayback,
    StartItem,
    TruncateItem,
)
from session.turn_state import AgentState, Step, TurnState, UserState


def start_next(state: TurnState) -> Step:
    """The next queued item, if nobody has the floor."""
    if not state.queue or state.agent is not AgentState.SILENT or state.user is not UserState.IDLE:
        return state, ()
    item_id, *rest = state.queue
    return replace(state, agent=AgentState.SPEAKING, item_id=item_id, queue=tuple(rest)), (StartItem(item_id),)


def item_played(state: TurnState, item_id: str) -> Step:
    """All of an item was played."""
    if state.agent is not AgentState.SPEAKING or item_id != state.item_id:
        return state, ()
    state, started = start_next(replace(state, agent=AgentState.SILENT, item_id=None))
    return state, (EndItem(item_id), *started)


def yield_floor(state: TurnState, settings: TurnSettings) -> Step:
    """Stop the agent, and drop what waits."""
    dropped = tuple(DropItem(item_id) for item_id in state.queue)
    return _stop_current(replace(state, queue=()), settings, dropped)


def stop_item(state: TurnState, item_id: str, settings: TurnSettings) -> Step:
    """Stop one item, or drop it if it waits; the others go on."""
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


def final_position(state: TurnState, item_id: str) -> Step:
    """It is known how much of a stopped item was played."""
    if state.agent is not AgentState.YIELD or item_id != state.item_id:
        return state, ()
    state, started = start_next(replace(state, agent=AgentState.SILENT, item_id=None))
    return state, (TruncateItem(item_id), *started)
