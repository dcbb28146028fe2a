"""Voices over the agent's: what holds whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.sessions import Interruption, TurnDetection, TurnSettings
from session.lexicons import text_cues
from session.turn_actions import (
    AwaitFinalPosition,
    BumpEpoch,
    CancelSpeech,
    DuckItem,
    EndItem,
    FlushPlayback,
    NotifyBackchannel,
    PauseItem,
    ReopenTurn,
    ResumeItem,
    StartItem,
    TruncateItem,
    TurnAction,
    TurnStarted,
    UnduckItem,
)
from session.turn_events import (
    ClearRequested,
    CommitRequested,
    FinalPosition,
    FinalReady,
    InputStalled,
    ItemAudible,
    ItemPlayed,
    OverlapHeard,
    SayRequested,
    StopRequested,
    TurnEvent,
    VadFrame,
)
from session.turn_state import AgentState, has_floor, ms_of_samples

NewCore = Callable[..., Any]

SETTINGS = TurnSettings()
VOICE, SILENCE = 0.9, 0.05
ITEM = "item_1"


EVENTS = st.one_of(
    st.builds(
        FinalReady, st.integers(0, 12), st.sampled_from(["", "Go on."]), st.just("en"), st.just(text_cues("", ""))
    ),
    st.just(InputStalled()),
    st.just(StopRequested()),
    st.just(ClearRequested()),
    st.just(CommitRequested()),
    st.builds(SayRequested, st.just(""), st.sampled_from(list(Interruption))),
    st.sampled_from([ItemAudible(""), ItemPlayed(""), FinalPosition("")]),
    st.builds(
        OverlapHeard,
        st.just(-1),
        st.just(-1),
        st.just("…"),
        st.sampled_from([text_cues(text, "en") for text in ("", "Mhm.", "Stop!", "What", "What time is it?")]),
        st.sampled_from([0.3, 0.9]),
    ),
)
RUNS = st.lists(
    st.one_of(
        EVENTS.map(lambda event: [event]),
        st.tuples(st.sampled_from([VOICE, SILENCE]), st.integers(1, 40)).map(lambda run: [VadFrame(run[0])] * run[1]),
    ),
    max_size=60,
).map(lambda runs: [event for run in runs for event in run])


def played_through(speaking_core: NewCore, events: list[TurnEvent], settings: TurnSettings = SETTINGS) -> Any:
    """Events, as they fit the state they come in: ids and places are those of the moment."""
    core = speaking_core(settings)
    number = 1
    for event in events:
        state = core.state
        match event:
            case SayRequested():
                number += 1
                fitted: TurnEvent = SayRequested(f"item_{number}", event.interruption)
            case ItemAudible() | ItemPlayed() | FinalPosition():
                fitted = type(event)(state.item_id or "item_0")
            case OverlapHeard():
                overlap = state.overlap or state.unheard
                start = overlap.start_samples if overlap else 0
                fitted = replace(event, start_samples=start, end_samples=state.now_samples)
            case _:
                fitted = event
        core.send(fitted)
        assert_sane(core)
    return core


def assert_sane(core: Any) -> None:
    state = core.state
    assert (state.item_id is None) is (state.agent is AgentState.SILENT)
    assert (state.agent is AgentState.DUCKED) <= (state.overlap is not None)
    if state.overlap is not None:
        assert state.agent in {AgentState.DUCKED, AgentState.HELD, AgentState.YIELD}
        assert not state.overlap.is_turn
        assert not has_floor(state)
    elif state.agent is AgentState.HELD:
        assert has_floor(state)


@given(RUNS)
def test_whatever_happens_one_response_is_open_and_the_epoch_rises_before_anything_is_flushed_or_resumed(
    speaking_core: NewCore, events: list[TurnEvent]
) -> None:
    core = played_through(speaking_core, events)
    speaking: str | None = ITEM
    stopped: str | None = None
    before: TurnAction | None = None
    for action in core.actions:
        match action:
            case StartItem():
                assert speaking is None
                speaking = action.item_id
            case DuckItem() | UnduckItem() | PauseItem() | CancelSpeech():
                assert action.item_id == speaking
            case FlushPlayback() | ResumeItem():
                assert action.item_id == speaking
                assert isinstance(before, BumpEpoch)
            case AwaitFinalPosition():
                stopped = action.item_id
            case TruncateItem():
                assert action.item_id == stopped == speaking
                speaking = stopped = None
            case EndItem():
                assert action.item_id == speaking
                speaking = None
            case _:
                pass
        before = action


@given(RUNS, st.sampled_from(list(TurnDetection)), st.sampled_from([1, 60]))
def test_audio_is_held_until_it_was_asked_for(
    speaking_core: NewCore, events: list[TurnEvent], detection: TurnDetection, max_turn_s: int
) -> None:
    settings = TurnSettings(detection=detection, max_turn_s=max_turn_s)
    assert played_through(speaking_core, events, settings).too_late == []


@given(RUNS)
def test_whatever_happens_every_duck_and_pause_ends_in_a_verdict(
    speaking_core: NewCore, events: list[TurnEvent]
) -> None:
    core = played_through(speaking_core, events)
    core.hear(SETTINGS.hold_limit_ms + SETTINGS.verdict_ms + 64, SILENCE)
    assert core.state.agent is not AgentState.DUCKED
    if core.state.agent is AgentState.HELD:
        assert has_floor(core.state)
        core.send(FinalReady(core.state.generation, "", "en", text_cues("", "en")))
        core.hear(10_000, SILENCE)
        core.send(FinalReady(core.state.generation, "", "en", text_cues("", "en")))
        assert core.state.agent is not AgentState.HELD
    quiet = {"ducked": False, "paused": False}
    for action in core.actions:
        match action:
            case DuckItem():
                quiet["ducked"] = True
            case PauseItem():
                quiet["paused"] = True
            case UnduckItem():
                assert quiet == {"ducked": True, "paused": False}
                quiet = dict.fromkeys(quiet, False)
            case ResumeItem():
                assert quiet["paused"]
                quiet = dict.fromkeys(quiet, False)
            case FlushPlayback() | EndItem():
                quiet = dict.fromkeys(quiet, False)
            case _:
                pass
    assert not quiet["ducked"]


@given(RUNS)
def test_whatever_happens_no_sound_of_the_user_is_lost_between_overlap_and_turn(
    speaking_core: NewCore, events: list[TurnEvent]
) -> None:
    core = played_through(speaking_core, events)
    for action in core.actions:
        if isinstance(action, TurnStarted | ReopenTurn | NotifyBackchannel):
            start = action.resume_samples if isinstance(action, ReopenTurn) else action.start_samples
            assert 0 <= ms_of_samples(start) <= ms_of_samples(core.state.now_samples)
        if isinstance(action, NotifyBackchannel):
            assert action.start_samples < action.stop_samples
