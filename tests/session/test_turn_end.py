"""The end of the user's turn in the turn core: speculation, reopening, commands, and who waits for what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.sessions import TurnDetection, TurnProfile, TurnSettings
from session.deadline import PAUSE_MAX_MS, PAUSE_MIN_MS, learned_pause_ms
from session.turn_actions import (
    AmendTurn,
    BumpEpoch,
    CancelFinal,
    CancelSpeculation,
    ClearTurn,
    CommitReason,
    CommitTurn,
    DropItem,
    FinalizeAsr,
    NotifyIdle,
    NotifyKey,
    NotifyNoResponse,
    NotifyStalledInput,
    NotifyTurnLimit,
    ReopenTurn,
    SetTimer,
    SpeculateTurn,
    StartItem,
    Timer,
    TurnPaused,
    TurnResumed,
    TurnStarted,
)
from session.turn_events import (
    ClearRequested,
    CommitRequested,
    FinalPosition,
    FinalReady,
    InputStalled,
    ItemAudible,
    KeyPressed,
    MuteChanged,
    SayRequested,
    TimerExpired,
)
from session.turn_state import UserState, ms_of_samples, samples_of_ms

NewCore = Callable[..., Any]

SETTINGS = TurnSettings()
MANUAL = TurnSettings(detection=TurnDetection.MANUAL)
VOICE, SILENCE = 0.9, 0.05
FRAME_MS = 32


# Deadlines


def test_nothing_ends_early_before_the_turn_detector_has_answered(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.hear(192, SILENCE)
    core.final("Hello.")
    core.hear(352, SILENCE)
    assert core.commits == []


def test_a_text_that_lacks_the_last_word_says_nothing_about_the_end(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.partial("I would like to fly to the")
    core.hear(960, VOICE)
    core.hear(192, SILENCE)
    core.score(0.7)
    without = core.state.probability
    core = turn_core()
    core.hear(1_920, VOICE)
    core.hear(192, SILENCE)
    core.score(0.7)
    assert core.state.probability == without


# Speculation


def test_a_turn_that_is_probably_over_is_speculated_on_and_then_ends_with_that_text(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.hear(192, SILENCE)
    core.final("Fly me to Berlin.")
    assert core.of(SpeculateTurn) == []
    (eager,) = core.score(0.6)
    assert isinstance(eager, SpeculateTurn)
    core.hear(1_000, SILENCE)
    assert [action.text for action in core.commits] == [eager.text]
    assert core.of(CancelSpeculation) == []


def test_who_goes_on_cancels_the_speculation_before_anything_else_happens(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.hear(192, SILENCE)
    core.final("Fly me to Berlin.")
    core.score(0.6)
    assert core.hear(96, VOICE) == [CancelSpeculation(1), CancelFinal(), TurnResumed(1, samples_of_ms(1_152))]


def test_a_turn_is_speculated_on_twice_at_most(turn_core: NewCore) -> None:
    core = turn_core()
    for number in range(4):
        core.hear(320, VOICE)
        core.hear(192, SILENCE)
        core.final(f"Part {number}.")
        core.score(0.6)
    assert len(core.of(SpeculateTurn)) == 2
    core.hear(1_000, SILENCE)
    core.end()
    assert len(core.of(SpeculateTurn)) == 3


def test_what_the_agent_was_given_to_say_is_dropped_with_the_speculation(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(320, VOICE)
    core.send(SayRequested("before"))
    core.hear(192, SILENCE)
    core.final("Fly me to Berlin.")
    core.score(0.6)
    core.send(SayRequested("answer"))
    assert core.hear(96, VOICE)[:2] == [CancelSpeculation(1), DropItem("answer")]
    assert core.end()[-1] == StartItem("before")


def test_what_the_agent_was_given_to_say_is_said_when_the_speculation_holds(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.hear(192, SILENCE)
    core.final("Fly me to Berlin.")
    core.score(0.6)
    core.send(SayRequested("answer"))
    core.hear(1_000, SILENCE)
    assert core.actions[-1] == StartItem("answer")


@pytest.mark.parametrize("settings", [TurnSettings(eager_threshold=1.0)])
def test_a_client_can_do_without_speculation(turn_core: NewCore, settings: TurnSettings) -> None:
    core = turn_core(settings)
    core.end()
    assert core.of(SpeculateTurn) == []
    assert len(core.commits) == 1


def test_nothing_is_speculated_on_without_words(turn_core: NewCore) -> None:
    core = turn_core()
    core.end("")
    assert core.of(SpeculateTurn) == []


# Late transcripts


def test_a_late_final_transcript_is_replaced_by_a_partial_one_and_amends_it(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.partial("Fly me to")
    core.hear(704, SILENCE)
    core.score(0.99)
    core.hear(32, SILENCE)
    assert core.state.user is UserState.COMMIT
    assert core.timers[-1].timer is Timer.COMMIT
    (commit,) = core.expire()
    assert isinstance(commit, CommitTurn)
    assert (commit.text, commit.is_provisional) == ("Fly me to", True)
    assert core.final("Fly me to Berlin.") == [AmendTurn(1, "Fly me to Berlin.")]
    assert core.final("Fly me to Berlin.") == []


def test_without_another_text_the_final_transcript_is_waited_for(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.hear(1_504, SILENCE)
    assert core.state.user is UserState.COMMIT
    assert core.expire() == []
    core.final("Fly me to Berlin.")
    assert [commit.is_provisional for commit in core.commits] == [False]


def test_a_partial_text_that_lacks_most_of_the_turn_is_no_substitute(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.partial("Fly me")
    core.hear(1_920, VOICE)
    core.hear(1_504, SILENCE)
    assert core.state.user is UserState.COMMIT
    assert core.expire() == []


def test_a_final_transcript_that_failed_amends_nothing(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.partial("Fly me to")
    core.hear(1_504, SILENCE)
    core.expire()
    assert core.send(FinalReady(core.state.generation, is_failed=True)) == []


# After the turn


def test_who_goes_on_before_an_answer_is_heard_reopens_their_turn_and_cancels_the_answer(turn_core: NewCore) -> None:
    core = turn_core()
    core.end("A pizza, please.")
    core.send(SayRequested("a"))
    reopened = core.hear(96, VOICE)
    assert isinstance(reopened[0], BumpEpoch)
    assert reopened[-1] == ReopenTurn(1, samples_of_ms(1_504))
    core.hear(400, VOICE)
    core.hear(224, SILENCE)
    core.final("A pizza, please, with mushrooms.")
    core.score(0.99)
    core.hear(320, SILENCE)
    assert [(commit.turn, commit.start_samples, commit.text) for commit in core.commits] == [
        (1, 0, "A pizza, please."),
        (1, 0, "A pizza, please, with mushrooms."),
    ]


def test_a_pause_that_was_taken_for_an_end_teaches_to_wait_longer(turn_core: NewCore) -> None:
    core = turn_core()
    core.end()
    core.hear(400, SILENCE)
    core.hear(96, VOICE)
    assert core.of(ReopenTurn)
    assert PAUSE_MIN_MS < core.state.pause_ms < PAUSE_MAX_MS
    pause_ms = float(PAUSE_MIN_MS)
    for _ in range(100):
        pause_ms = learned_pause_ms(pause_ms, 5_000)
    assert pause_ms == PAUSE_MAX_MS


@pytest.mark.parametrize(
    ("profile", "waits_again", "silence_ms"),
    [(TurnProfile.BALANCED, True, 896), (TurnProfile.FAST, True, 896), (TurnProfile.BALANCED, False, 352)],
)
def test_a_turn_that_went_on_after_its_end_waits_as_long_again_and_the_next_does_not(
    turn_core: NewCore, profile: TurnProfile, *, waits_again: bool, silence_ms: int
) -> None:
    core = turn_core(TurnSettings(profile=profile))
    core.state = replace(core.state, weights=replace(core.state.weights, waits_again=waits_again))
    core.end()
    core.hear(880 - 544, SILENCE)
    core.hear(96, VOICE)
    assert core.of(ReopenTurn)
    core.end()
    core.hear(960, SILENCE)
    core.end("What else is there?")
    core.hear(320, SILENCE)
    first, again, another = core.commits
    assert (first.turn, again.turn, another.turn) == (1, 1, 2)
    waited_ms = [ms_of_samples(one.decided_samples - one.end_samples) for one in core.commits]
    assert waited_ms[1] == pytest.approx(silence_ms, abs=16)
    assert waited_ms[2] < 400
    assert core.state.turn_pause_ms == 0


def test_once_an_answer_is_heard_what_the_user_says_is_another_turn(turn_core: NewCore) -> None:
    core = turn_core()
    core.end()
    core.send(SayRequested("a"), ItemAudible("a"))
    assert core.state.user is UserState.IDLE
    core.hear(1_248, VOICE)
    core.send(FinalPosition("a"))
    assert core.state.turn == 2
    assert core.of(ReopenTurn) == []


def test_who_speaks_again_later_begins_another_turn_though_nobody_has_answered(turn_core: NewCore) -> None:
    core = turn_core()
    core.end()
    core.hear(1_000, SILENCE)
    core.hear(96, VOICE)
    assert core.state.turn == 2


def test_a_turn_without_words_is_over_and_waits_for_no_answer(turn_core: NewCore) -> None:
    core = turn_core()
    core.end("")
    assert core.state.user is UserState.IDLE


def test_a_turn_that_nobody_answers_is_reported_once(turn_core: NewCore) -> None:
    core = turn_core()
    core.end()
    assert core.timers[-1] == SetTimer(Timer.NO_RESPONSE, 8_000, core.state.timer_generation)
    assert core.expire() == [NotifyNoResponse(1)]
    assert core.timers[-1].timer is Timer.IDLE
    assert core.expire() == [NotifyIdle()]
    core.hear(3_200, SILENCE)
    assert core.of(NotifyIdle) == [NotifyIdle()]


def test_a_timer_of_a_state_that_was_left_is_ignored(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(320, SILENCE)
    idle = core.timers[-1]
    core.hear(96, VOICE)
    assert core.send(TimerExpired(idle.timer, idle.generation)) == []


def test_nobody_is_idle_while_the_agent_speaks(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(320, SILENCE)
    idle = core.timers[-1]
    core.send(SayRequested("a"))
    assert core.send(TimerExpired(idle.timer, idle.generation)) == []


def test_a_key_is_reported_and_is_a_sign_of_life(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(320, SILENCE)
    before = core.timers[-1]
    assert core.send(KeyPressed("5")) == [NotifyKey("5")]
    assert core.send(TimerExpired(before.timer, before.generation)) == []
    assert core.timers[-1].generation > before.generation


# Limits and commands


def test_a_turn_at_its_limit_is_reported(turn_core: NewCore) -> None:
    core = turn_core(TurnSettings(max_turn_s=2))
    core.hear(2_016, VOICE)
    assert core.of(NotifyTurnLimit) == [NotifyTurnLimit(1)]
    core.final("On and on")
    assert core.commits[0].reason is CommitReason.LIMIT


def test_audio_that_stops_coming_within_a_turn_is_reported_and_ends_it(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    assert core.send(InputStalled())[0] == NotifyStalledInput(1)
    core.final("And then")
    assert core.commits[0].reason is CommitReason.STALLED


def test_the_client_ends_a_turn_at_once(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.send(CommitRequested())
    core.hear(320, VOICE)
    core.final("Fly me to")
    (commit,) = core.commits
    assert (commit.reason, commit.decided_samples) == (CommitReason.COMMAND, samples_of_ms(960))
    assert core.state.turn == 2
    (*_, final) = core.of(FinalizeAsr)
    core.hear(64, SILENCE)
    (*_, final) = core.of(FinalizeAsr)
    assert isinstance(final, FinalizeAsr)
    assert final.start_samples == samples_of_ms(960), "what belongs to the turn before is not heard again"


def test_the_client_ends_a_paused_turn_before_its_deadline(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.hear(224, SILENCE)
    core.final("Fly me to the")
    core.send(CommitRequested())
    assert [commit.text for commit in core.commits] == ["Fly me to the"]


def test_there_is_nothing_to_commit_in_silence_unless_the_client_ends_all_turns(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, SILENCE)
    assert core.send(CommitRequested()) == []
    core = turn_core(MANUAL)
    core.hear(960, SILENCE)
    assert isinstance(core.send(CommitRequested())[0], TurnStarted)
    core.final("Whispered.")
    assert core.send(CommitRequested()) == []
    core.hear(320, SILENCE)
    core.send(CommitRequested())
    core.final("And again.")
    assert [(commit.turn, commit.start_samples) for commit in core.commits] == [(1, 0), (2, samples_of_ms(960))]


def test_silence_ends_no_turn_that_the_client_ends(turn_core: NewCore) -> None:
    core = turn_core(MANUAL)
    core.hear(960, VOICE)
    core.hear(9_600, SILENCE)
    core.send(InputStalled())
    assert core.state.user is UserState.USER
    core.final("Fly me to Berlin.")
    core.send(CommitRequested())
    assert [commit.text for commit in core.commits] == ["Fly me to Berlin."]


def test_a_cleared_turn_does_not_count(turn_core: NewCore) -> None:
    core = turn_core()
    core.hear(960, VOICE)
    core.hear(192, SILENCE)
    core.final("Fly me to Berlin.")
    core.score(0.6)
    assert core.send(ClearRequested()) == [CancelSpeculation(1), CancelFinal(), ClearTurn(1)]
    core.hear(3_200, SILENCE)
    assert core.commits == []
    assert core.send(ClearRequested()) == []
    core.hear(96, VOICE)
    assert core.state.turn == 2


def test_who_is_muted_says_nothing(turn_core: NewCore) -> None:
    core = turn_core()
    core.send(MuteChanged(is_muted=True))
    assert core.hear(960, VOICE) == []
    core.send(MuteChanged(is_muted=False))
    assert core.hear(96, VOICE) == [TurnStarted(1, samples_of_ms(960))]
    core.send(MuteChanged(is_muted=True))
    core.hear(224, VOICE)
    assert core.of(TurnPaused) == [TurnPaused(1, samples_of_ms(1_056))]
