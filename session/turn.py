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

from typing import assert_never

from msgspec.structs import replace

from schemas.sessions import TurnSettings
from session.agent_side import final_position, item_played, start_next, stop_item, yield_floor
from session.turn_events import (
    EndOfTurnScore,
    FinalPosition,
    FinalReady,
    InputStalled,
    ItemAudible,
    ItemPlayed,
    SayRequested,
    StopRequested,
    TurnEvent,
    VadFrame,
)
from session.turn_state import Step, TurnState, UserState
from session.user_side import final_ready, input_stalled, vad_frame


def step(state: TurnState, event: TurnEvent, settings: TurnSettings) -> Step:  # noqa: C901 - one case an event
    """The state after an event, and what to do about it, in order."""
    match event:
        case VadFrame():
            return vad_frame(state, event.probability, settings)
        case EndOfTurnScore():
            current = state.user is UserState.PAUSED and event.generation == state.generation
            return (replace(state, score=event.probability), ()) if current else (state, ())
        case FinalReady():
            return final_ready(state, event.generation, settings)
        case InputStalled():
            return input_stalled(state, settings)
        case SayRequested():
            return start_next(replace(state, queue=(*state.queue, event.item_id)))
        case ItemAudible():
            return state, ()
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
