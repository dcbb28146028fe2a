"""The agent's side of the turn core: whether it has the floor, and how it gives it up."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from schemas.sessions import Interruption, TurnSettings
from session.turn_actions import (
    AwaitFinalPosition,
    BumpEpoch,
    CancelResponse,
    CancelSpeech,
    DropItem,
    EndItem,
    FlushPlayback,
    StartItem,
    TruncateItem,
    TurnAction,
)
from session.turn_events import SayRequested
from session.turn_state import AgentState, QueuedItem, Step, TurnState, has_floor

SPEAKS: Final = frozenset({AgentState.SPEAKING, AgentState.DUCKED, AgentState.HELD})
"""States in which an item is being said."""


def say_requested(state: TurnState, event: SayRequested, settings: TurnSettings) -> Step:
    """One more item waits for the floor."""
    interruption = event.interruption if settings.barge_in else Interruption.UNINTERRUPTIBLE
    state = replace(state, queue=(*state.queue, QueuedItem(event.item_id, interruption)))
    answers = state.eager is not None
    return replace(state, eager_items=(*state.eager_items, event.item_id)) if answers else state, ()


def start_next(state: TurnState) -> Step:
    """The next queued item, if nobody has the floor."""
    if not state.queue or state.agent is not AgentState.SILENT or has_floor(state):
        return state, ()
    item, *rest = state.queue
    state = replace(
        state, agent=AgentState.SPEAKING, item_id=item.item_id, interruption=item.interruption, queue=tuple(rest)
    )
    return state, (StartItem(item.item_id),)


def item_audible(state: TurnState, item_id: str) -> TurnState:
    """The user hears the item from here on."""
    if item_id != state.item_id or state.agent is AgentState.SILENT:
        return state
    since_samples = state.audible_samples or state.now_samples
    return replace(state, is_audible=True, audible_samples=since_samples)


def item_played(state: TurnState, item_id: str) -> Step:
    """All of an item was played."""
    if state.agent not in SPEAKS or item_id != state.item_id:
        return state, ()
    return _silent(state, goes_on=bool(state.queue)), (EndItem(item_id),)


def yield_floor(state: TurnState, settings: TurnSettings, *, by_user: bool = True) -> Step:
    """Stop the agent, and drop what waits."""
    current = (state.item_id,) if state.agent in SPEAKS and state.item_id is not None else ()
    queued = tuple(item.item_id for item in state.queue)
    if not (current or queued):
        return state, ()
    dropped = (CancelResponse((*current, *queued), by_user), *map(DropItem, queued))
    return _stop_current(replace(state, queue=()), settings, dropped)


def stop_item(state: TurnState, item_id: str, settings: TurnSettings) -> Step:
    """Stop one item, or drop it if it waits; the others go on."""
    rest = tuple(item for item in state.queue if item.item_id != item_id)
    if len(rest) < len(state.queue):
        return replace(state, queue=rest), (DropItem(item_id),)
    return _stop_current(state, settings) if item_id == state.item_id else (state, ())


def _stop_current(state: TurnState, settings: TurnSettings, dropped: tuple[TurnAction, ...] = ()) -> Step:
    if state.agent not in SPEAKS or state.item_id is None:
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
    return _silent(state, goes_on=False), (TruncateItem(item_id),)


def _silent(state: TurnState, *, goes_on: bool) -> TurnState:
    audible_samples = state.audible_samples if goes_on else 0
    return replace(
        state, agent=AgentState.SILENT, item_id=None, is_audible=False, unheard=None, audible_samples=audible_samples
    )
