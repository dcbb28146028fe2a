"""The turn core, driven by frames alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.sessions import TurnSettings
from session.deadline import BY_HAND
from session.lexicons import text_cues
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
from session.turn_state import AgentState, UserState, samples_of_ms

NewCore = Callable[..., Any]

SETTINGS = TurnSettings()
VOICE, SILENCE, BETWEEN = 0.9, 0.05, 0.42


def final_ready(generation: int, text: str, language: str = "en") -> FinalReady:
    return FinalReady(generation, text, language, text_cues(text, language))


def test_a_turn_starts_after_the_onset_and_not_before(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(320, SILENCE)
    assert core.hear(64, VOICE) == []
    assert core.hear(32, VOICE) == [TurnStarted(1, samples_of_ms(320))]


def test_a_click_shorter_than_the_onset_starts_nothing(turn_core: NewCore) -> None:
    core = turn_core()
    for _ in range(10):
        core.hear(64, VOICE)
        core.hear(64, SILENCE)
    assert core.actions == []


def test_hysteresis_keeps_a_voiced_run_alive_between_the_thresholds_but_does_not_begin_one(turn_core: NewCore) -> None:
    core = turn_core()
    assert core.hear(500, BETWEEN) == []
    core.hear(32, VOICE)
    assert core.hear(64, BETWEEN) == [TurnStarted(1, samples_of_ms(512))]


def test_a_short_silence_begins_the_final_transcript_and_a_longer_one_is_a_pause(turn_core: NewCore) -> None:
    core = turn_core(TurnSettings(speculation_ms=96))
    core.hear(320, SILENCE)
    core.hear(960, VOICE)
    assert core.hear(64, SILENCE) == []
    final = FinalizeAsr(1, core.state.generation + 1, 0, samples_of_ms(1_376))
    assert core.hear(32, SILENCE) == [final]
    assert core.hear(64, SILENCE) == []
    assert core.hear(32, SILENCE) == [
        TurnPaused(1, samples_of_ms(1_280)),
        ScoreEndOfTurn(final.generation, 0, samples_of_ms(1_472)),
    ]


def test_who_goes_on_after_a_short_silence_voids_the_final_transcript_and_has_not_paused(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.hear(128, SILENCE)
    stale = core.state.generation
    core.send(FinalReady(stale))
    assert core.hear(32, VOICE)[0] == CancelFinal()
    core.send(FinalReady(stale))
    core.hear(1_200, SILENCE)
    assert core.of(CommitTurn) == []
    assert len(core.of(FinalizeAsr)) == 2
    core.final("And so on.")
    assert len(core.of(CommitTurn)) == 1
    assert core.of(TurnResumed) == []


def test_a_final_transcript_that_was_ready_before_the_pause_is_the_turns(turn_core: NewCore) -> None:
    core = turn_core(TurnSettings(silence_duration_ms=200))
    core.hear(960, VOICE)
    core.hear(96, SILENCE)
    core.final("That was it.")
    core.hear(64, SILENCE)
    assert core.of(CommitTurn) == []
    core.hear(32, SILENCE)
    (commit,) = core.commits
    assert (commit.text, commit.end_samples, commit.decided_samples) == (
        "That was it.",
        samples_of_ms(960),
        samples_of_ms(1_152),
    )
    assert len(core.of(FinalizeAsr)) == 1


def test_speculation_waits_for_the_pause_if_that_comes_first(turn_core: NewCore) -> None:
    core = turn_core(TurnSettings(speculation_ms=500))
    core.hear(960, VOICE)
    core.hear(160, SILENCE)
    assert core.of(FinalizeAsr) == []
    core.hear(32, SILENCE)
    assert [type(action) for action in core.actions[-3:]] == [TurnPaused, FinalizeAsr, ScoreEndOfTurn]


def test_no_partial_is_begun_in_silence(turn_core: NewCore) -> None:
    core = turn_core(TurnSettings(offset_ms=2_000, speculation_ms=2_000))
    core.hear(960, VOICE)
    partials = len(core.of(PartialAsr))
    core.hear(960, SILENCE)
    assert len(core.of(PartialAsr)) == partials


def test_a_turn_at_its_limit_whose_final_transcript_is_ready_ends_at_once(turn_core: NewCore) -> None:
    core = turn_core(TurnSettings(max_turn_s=1, offset_ms=1_000))
    core.hear(896, VOICE)
    core.hear(96, SILENCE)
    core.send(FinalReady(core.state.generation))
    core.hear(32, SILENCE)
    assert len(core.of(CommitTurn)) == 1


def test_audio_to_recognise_begins_with_the_pre_roll(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(3_200, SILENCE)
    core.hear(960, VOICE)
    core.hear(224, SILENCE)
    (final,) = core.of(FinalizeAsr)
    assert isinstance(final, FinalizeAsr)
    assert final.start_samples == samples_of_ms(3_200 - SETTINGS.pre_roll_ms)


def test_the_turn_detector_is_asked_again_as_silence_grows(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.hear(224, SILENCE)
    core.send(EndOfTurnScore(core.state.generation, 0.1))
    core.hear(640, SILENCE)
    asked = [action.end_samples for action in core.of(ScoreEndOfTurn) if isinstance(action, ScoreEndOfTurn)]
    assert [end - start for start, end in itertools.pairwise(asked)] == [samples_of_ms(96)] * 7


def test_a_score_of_an_earlier_pause_is_ignored(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.hear(224, SILENCE)
    stale = core.state.generation
    core.hear(320, VOICE)
    core.hear(224, SILENCE)
    core.send(EndOfTurnScore(stale, 0.1))
    assert core.state.score is None


def test_a_decided_turn_waits_for_its_final_transcript(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.hear_end()
    assert core.state.user is UserState.COMMIT
    core.hear(64, SILENCE)
    core.final("Done.")
    (commit,) = core.commits
    assert commit.decided_samples < core.state.now_samples


def test_speech_within_a_pause_resumes_the_same_turn_and_voids_its_final_transcript(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.hear(320, SILENCE)
    stale = core.state.generation
    actions = core.hear(96, VOICE)
    assert actions == [CancelFinal(), TurnResumed(1, samples_of_ms(1_280))]
    core.send(FinalReady(stale))
    core.hear_end()
    assert core.of(CommitTurn) == []
    core.final("All of it.")
    assert len(core.of(CommitTurn)) == 1


def test_speech_while_the_final_transcript_is_awaited_resumes_the_same_turn(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.hear_end()
    core.hear(96, VOICE)
    assert core.state.user is UserState.USER
    assert core.state.turn == 1


def test_a_possible_onset_holds_back_the_commit(turn_core: NewCore) -> None:
    core = turn_core(TurnSettings(onset_ms=320))
    core.hear(960, VOICE)
    core.hear(224, SILENCE)
    core.send(EndOfTurnScore(core.state.generation, 0.9))
    core.final("And so on.")
    core.hear(160, VOICE)
    assert core.of(CommitTurn) == []
    core.hear(32, SILENCE)
    assert len(core.of(CommitTurn)) == 1


def test_partials_are_asked_for_twice_a_second(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(3_200, VOICE)
    ends = [action.end_samples for action in core.of(PartialAsr) if isinstance(action, PartialAsr)]
    assert [end - start for start, end in itertools.pairwise(ends)] == [samples_of_ms(512)] * (len(ends) - 1)
    assert len(ends) == 6


def test_a_turn_that_never_pauses_is_ended_at_the_limit(turn_core: NewCore) -> None:
    core = turn_core(TurnSettings(max_turn_s=2))
    core.hear(2_016, VOICE)
    assert core.state.user is UserState.COMMIT
    core.send(FinalReady(core.state.generation))
    assert len(core.of(CommitTurn)) == 1


def test_a_turn_at_its_limit_ends_while_the_user_speaks_on_and_their_words_begin_the_next_one(
    turn_core: NewCore,
) -> None:
    core = turn_core(TurnSettings(max_turn_s=3))
    core.hear(3_008, VOICE)
    said_on = [*core.hear(1_920, VOICE), *core.hear(192, SILENCE)]
    assert said_on == []
    commit, started = core.send(FinalReady(core.state.generation))
    assert isinstance(commit, CommitTurn)
    assert (commit.turn, commit.decided_samples) == (1, samples_of_ms(3_008))
    assert started == TurnStarted(2, samples_of_ms(3_008))
    core.hear_end()
    core.final("And more.")
    commit = core.commits[-1]
    assert (commit.turn, commit.start_samples, commit.end_samples) == (2, samples_of_ms(3_008), samples_of_ms(5_120))


def test_a_turn_at_its_limit_after_which_nothing_is_said_gives_the_floor_to_the_agent(turn_core: NewCore) -> None:
    core = turn_core(TurnSettings(max_turn_s=2))
    core.hear(2_016, VOICE)
    core.send(SayRequested("a"))
    core.hear(64, VOICE)
    core.hear(320, SILENCE)
    assert core.send(FinalReady(core.state.generation))[1:] == [StartItem("a")]


def test_when_audio_stops_coming_the_turn_ends(turn_core: NewCore) -> None:
    for silent_ms in (0, 256):
        core = turn_core()
        core.hear(960, VOICE)
        core.hear(silent_ms, SILENCE)
        core.send(InputStalled())
        core.send(FinalReady(core.state.generation))
        assert len(core.of(CommitTurn)) == 1


def test_an_idle_session_does_not_mind_that_audio_stops_coming(turn_core: NewCore) -> None:
    assert turn_core().send(InputStalled()) == []


def test_an_item_is_spoken_at_once_when_nobody_has_the_floor(turn_core: NewCore) -> None:
    core = turn_core()
    assert core.send(SayRequested("a")) == [StartItem("a")]
    assert core.send(SayRequested("b")) == []
    assert core.send(ItemPlayed("a")) == [EndItem("a"), StartItem("b")]
    assert core.send(ItemPlayed("b")) == [EndItem("b")]
    assert core.state.agent is AgentState.SILENT


def test_an_item_waits_until_the_user_has_finished(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    assert core.send(SayRequested("a")) == []
    core.hear_end()
    assert core.final("Go on.")[-1] == StartItem("a")


def test_without_barge_in_the_agent_goes_on_and_the_users_turn_is_kept(turn_core: NewCore) -> None:
    core = turn_core(TurnSettings(barge_in=False))
    core.send(SayRequested("a"))
    core.hear(960, VOICE)
    core.hear_end()
    core.final("Go on.")
    assert len(core.of(CommitTurn)) == 1
    assert core.of(BumpEpoch) == []
    assert core.state.agent is AgentState.SPEAKING


def test_stop_silences_the_agent_and_drops_its_queue(turn_core: NewCore) -> None:
    core = turn_core()
    core.send(SayRequested("a"), SayRequested("b"))
    core.send(StopRequested(), FinalPosition("a"))
    assert core.of(TruncateItem) == [TruncateItem("a")]
    assert core.of(DropItem) == [DropItem("b")]


def test_stop_with_nothing_to_stop_does_nothing(turn_core: NewCore) -> None:
    assert turn_core().send(StopRequested()) == []


def test_an_item_said_while_the_last_one_yields_is_spoken_after_its_truncation(turn_core: NewCore) -> None:
    core = turn_core()
    core.send(SayRequested("a"), StopRequested(), SayRequested("b"))
    assert core.send(FinalPosition("a")) == [TruncateItem("a"), StartItem("b")]


def test_late_answers_about_items_that_are_over_are_ignored(turn_core: NewCore) -> None:
    core = turn_core()
    assert core.send(ItemPlayed("a"), FinalPosition("a")) == []


EVENTS = st.one_of(
    st.builds(VadFrame, st.sampled_from([VOICE, SILENCE, BETWEEN, 0.6])),
    st.builds(FinalReady, st.integers(0, 12)),
    st.builds(EndOfTurnScore, st.integers(0, 12), st.sampled_from([None, 0.1, 0.9])),
    st.just(InputStalled()),
    st.just(StopRequested()),
    st.builds(SayRequested, st.sampled_from(["a", "b", "c"])),
    st.builds(ItemPlayed, st.sampled_from(["a", "b", "c"])),
    st.builds(FinalPosition, st.sampled_from(["a", "b", "c"])),
)
RUNS = st.lists(
    st.one_of(
        EVENTS.map(lambda event: [event]),
        st.tuples(st.sampled_from([VOICE, SILENCE]), st.integers(1, 40)).map(lambda run: [VadFrame(run[0])] * run[1]),
    ),
    max_size=60,
).map(lambda runs: [event for run in runs for event in run])


@given(RUNS)
def test_whatever_happens_turns_are_whole_and_in_order(turn_core: NewCore, events: list[TurnEvent]) -> None:
    core = turn_core()
    core.send(*events)
    open_turn = 0
    for action in core.actions:
        match action:
            case TurnStarted():
                assert action.turn == open_turn + 1
                open_turn = action.turn
            case CommitTurn():
                assert action.turn == open_turn
                assert action.start_samples < action.end_samples <= action.decided_samples
            case TurnPaused() | TurnResumed() | PartialAsr() | FinalizeAsr():
                assert action.turn == open_turn
            case _:
                pass
    commits = [action.turn for action in core.actions if isinstance(action, CommitTurn)]
    assert commits == list(range(1, len(commits) + 1))


@given(RUNS)
def test_whatever_happens_one_item_is_spoken_at_a_time_and_each_ends_once(
    turn_core: NewCore, events: list[TurnEvent]
) -> None:
    core = turn_core()
    number = 0
    speaking: str | None = None
    ended: set[str] = set()
    for event in events:
        if isinstance(event, SayRequested):
            number += 1
            event = SayRequested(f"item_{number}")  # noqa: PLW2901 - ids are unique in a session
        elif isinstance(event, ItemPlayed | FinalPosition) and core.state.item_id:
            event = type(event)(core.state.item_id)  # noqa: PLW2901
        for action in core.send(event):
            match action:
                case StartItem():
                    assert speaking is None
                    speaking = action.item_id
                case FlushPlayback() | CancelSpeech() | AwaitFinalPosition():
                    assert action.item_id == speaking
                case EndItem() | TruncateItem():
                    assert action.item_id == speaking
                    speaking = None
                    ended.add(action.item_id)
                case DropItem():
                    assert action.item_id not in ended
                    ended.add(action.item_id)
                case _:
                    pass
    for index, action in enumerate(core.actions):
        if isinstance(action, FlushPlayback):
            assert isinstance(core.actions[index - 1], BumpEpoch)


@given(RUNS)
def test_whatever_happens_the_user_side_comes_to_rest_without_the_user(
    turn_core: NewCore, events: list[TurnEvent]
) -> None:
    core = turn_core()
    core.send(*events)
    core.hear(BY_HAND[-1][1] + 500, SILENCE)
    core.send(FinalReady(core.state.generation))
    assert core.state.user is UserState.IDLE
