"""What holds of the user's side of the turn core, whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.audio import VAD_FRAME_SAMPLES
from schemas.sessions import TurnDetection, TurnProfile, TurnSettings
from session.deadline import floor_ms
from session.turn_actions import (
    AmendTurn,
    CancelSpeculation,
    ClearTurn,
    CommitReason,
    CommitTurn,
    FinalizeAsr,
    PartialAsr,
    ReopenTurn,
    SetTimer,
    SpeculateTurn,
    Timer,
    TurnPaused,
    TurnResumed,
    TurnStarted,
)
from session.turn_events import (
    ClearRequested,
    CommitRequested,
    EndOfTurnScore,
    FinalReady,
    InputStalled,
    ItemAudible,
    KeyPressed,
    MuteChanged,
    SayRequested,
    TimerExpired,
    TurnEvent,
    VadFrame,
)
from session.turn_state import UserState, samples_of_ms

NewCore = Callable[..., Any]

SETTINGS = TurnSettings()
MANUAL = TurnSettings(detection=TurnDetection.MANUAL)
VOICE, SILENCE = 0.9, 0.05
FRAME_MS = 32


TEXTS = ["", "Hello.", "and the", "five five five", "I live in Berlin."]
EVENTS = st.one_of(
    st.builds(VadFrame, st.sampled_from([VOICE, SILENCE, 0.42, 0.6])),
    st.builds(EndOfTurnScore, st.integers(0, 12), st.sampled_from([None, 0.1, 0.5, 0.99])),
    st.just(InputStalled()),
    st.just(CommitRequested()),
    st.just(ClearRequested()),
    st.builds(MuteChanged, st.booleans()),
    st.builds(KeyPressed, st.just("1")),
    st.builds(TimerExpired, st.sampled_from(list(Timer)), st.integers(0, 12)),
    st.builds(SayRequested, st.sampled_from(["a", "b", "c"])),
    st.builds(ItemAudible, st.sampled_from(["a", "b", "c"])),
)
ANSWERS = st.sampled_from(["final", "failed", "partial", "score", "timer"])
RUNS = st.lists(
    st.one_of(
        EVENTS,
        st.tuples(ANSWERS, st.sampled_from(TEXTS)),
        st.tuples(st.sampled_from([VOICE, SILENCE]), st.integers(1, 40)),
    ),
    max_size=60,
)
ALL_SETTINGS = st.builds(
    TurnSettings,
    profile=st.sampled_from(list(TurnProfile)),
    detection=st.sampled_from([TurnDetection.AUTOMATIC, TurnDetection.AUTOMATIC, TurnDetection.MANUAL]),
    silence_duration_ms=st.sampled_from([None, None, 200, 700]),
    reopen_ms=st.sampled_from([0, 1_000, 5_000]),
    max_turn_s=st.sampled_from([1, 60]),
    barge_in=st.booleans(),
    pre_roll_ms=st.sampled_from([0, 500, 2_000]),
)


def play(core: Any, runs: list[TurnEvent | tuple[str, str] | tuple[float, int]]) -> None:
    for run in runs:
        match run:
            case (float(probability), int(frames)):
                core.send(*[VadFrame(probability)] * frames)
            case ("final", str(text)):
                core.final(text)
            case ("failed", _):
                core.send(FinalReady(core.state.generation, is_failed=True))
            case ("partial", str(text)):
                core.partial(text)
            case ("score", _):
                core.score(0.8)
            case ("timer", _) if core.timers:
                core.expire()
            case (_, _):
                pass
            case event:
                core.send(event)


@given(RUNS, ALL_SETTINGS)
def test_each_speculation_has_exactly_one_verdict_and_a_turn_that_ends_has_its_text(
    turn_core: NewCore, runs: list[TurnEvent | tuple[str, str] | tuple[float, int]], settings: TurnSettings
) -> None:
    core = turn_core(settings)
    play(core, runs)
    eager: SpeculateTurn | None = None
    count: dict[int, int] = {}
    for action in core.actions:
        match action:
            case SpeculateTurn():
                assert eager is None
                eager = action
                count[action.turn] = count.get(action.turn, 0) + 1
            case CancelSpeculation():
                assert eager is not None
                assert eager.turn == action.turn
                eager = None
            case CommitTurn():
                assert eager is None or (eager.turn, eager.text) == (action.turn, action.text)
                eager = None
            case ClearTurn() | TurnResumed() | TurnStarted() | ReopenTurn():
                assert eager is None
            case _:
                pass
    assert (core.state.eager is None) == (eager is None)
    assert all(times <= 2 for times in count.values())


@given(RUNS, ALL_SETTINGS)
def test_every_commit_follows_the_floor_silence_or_a_command_or_a_limit(
    turn_core: NewCore, runs: list[TurnEvent | tuple[str, str] | tuple[float, int]], settings: TurnSettings
) -> None:
    core = turn_core(settings)
    play(core, runs)
    floor_samples = samples_of_ms(floor_ms(settings, core.state.weights.deadlines)) - VAD_FRAME_SAMPLES // 2
    for commit in core.commits:
        assert commit.start_samples < commit.end_samples <= commit.decided_samples
        if commit.reason is CommitReason.SILENCE:
            assert settings.detection is TurnDetection.AUTOMATIC
            assert commit.decided_samples - commit.end_samples >= floor_samples


@given(RUNS, ALL_SETTINGS)
def test_audio_is_held_until_it_was_asked_for(
    turn_core: NewCore, runs: list[TurnEvent | tuple[str, str] | tuple[float, int]], settings: TurnSettings
) -> None:
    core = turn_core(settings)
    play(core, runs)
    assert core.too_late == []


@given(RUNS, ALL_SETTINGS)
def test_turns_are_whole_and_in_order(
    turn_core: NewCore, runs: list[TurnEvent | tuple[str, str] | tuple[float, int]], settings: TurnSettings
) -> None:
    core = turn_core(settings)
    play(core, runs)
    turn, is_open = 0, False
    for action in core.actions:
        match action:
            case TurnStarted():
                assert not is_open
                assert action.turn == turn + 1
                turn, is_open = action.turn, True
            case ReopenTurn():
                assert not is_open
                assert action.turn == turn
                is_open = True
            case CommitTurn() | ClearTurn():
                assert is_open
                assert action.turn == turn
                is_open = False
            case TurnPaused() | TurnResumed() | PartialAsr() | FinalizeAsr() | SpeculateTurn():
                assert is_open
                assert action.turn == turn
            case AmendTurn():
                assert action.turn == turn
            case _:
                pass


@given(RUNS, ALL_SETTINGS, st.booleans())
def test_no_state_needs_the_user_to_be_left(
    turn_core: NewCore,
    runs: list[TurnEvent | tuple[str, str] | tuple[float, int]],
    settings: TurnSettings,
    audio_comes: bool,
) -> None:
    core = turn_core(settings)
    play(core, runs)
    core.send(VadFrame(SILENCE))
    for _ in range(2):  # what was said while a turn at its limit was recognised is a turn of its own
        if audio_comes:
            core.hear(settings.max_turn_s * 1_000 + 5_000, SILENCE)
        elif settings.detection is TurnDetection.MANUAL:
            core.send(CommitRequested())
        else:
            core.send(InputStalled())
        core.final("")
    if core.state.user is UserState.PENDING:
        assert core.timers[-1].timer is Timer.NO_RESPONSE
        core.expire()
    assert core.state.user is UserState.IDLE


@given(RUNS, ALL_SETTINGS)
def test_the_newest_timer_is_that_of_the_state_and_no_older_one_counts(
    turn_core: NewCore, runs: list[TurnEvent | tuple[str, str] | tuple[float, int]], settings: TurnSettings
) -> None:
    core = turn_core(settings)
    play(core, runs)
    generations = [timer.generation for timer in core.timers]
    assert generations == sorted(set(generations))
    if core.state.timer is not None:
        assert core.timers[-1] == SetTimer(core.state.timer, core.timers[-1].after_ms, core.state.timer_generation)
    state = core.state
    for timer in core.timers:
        if timer.generation != state.timer_generation:
            assert core.send(TimerExpired(timer.timer, timer.generation)) == []
