"""Voices over the agent's: what the turn core does at the first sound, and what it makes of it in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from schemas.sessions import Interruption, TurnDetection, TurnSettings
from session.lexicons import text_cues
from session.overlap import CLEAR
from session.turn_actions import (
    AwaitFinalPosition,
    BumpEpoch,
    CancelResponse,
    CancelSpeech,
    DropItem,
    DuckItem,
    EndItem,
    FlushPlayback,
    HearOverlap,
    NotifyBackchannel,
    PauseItem,
    ResumeItem,
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
    ItemPlayed,
    MuteChanged,
    OverlapHeard,
    SayRequested,
    StopRequested,
    VadFrame,
)
from session.turn_state import AgentState, UserState, samples_of_ms

NewCore = Callable[..., Any]

SETTINGS = TurnSettings()
VOICE, SILENCE = 0.9, 0.05
ITEM = "item_1"


def kinds(actions: list[TurnAction]) -> list[type[TurnAction]]:
    return [type(action) for action in actions]


YIELDS = [BumpEpoch, FlushPlayback, CancelSpeech, CancelResponse, AwaitFinalPosition]


def test_the_agent_is_ducked_at_the_onset_and_paused_when_the_voice_lasts(speaking_core: NewCore) -> None:
    core = speaking_core()
    assert core.hear(64, VOICE) == []
    assert core.hear(32, VOICE) == [DuckItem(ITEM, SETTINGS.duck_db)]
    assert kinds(core.hear(128, VOICE)) == [HearOverlap]
    assert core.hear(32, VOICE) == [PauseItem(ITEM)]
    assert core.state.agent is AgentState.HELD


def test_a_click_does_not_even_duck_it(speaking_core: NewCore) -> None:
    core = speaking_core()
    for _ in range(10):
        core.hear(64, VOICE)
        core.hear(64, SILENCE)
    assert core.actions == []


@pytest.mark.parametrize("text", ["Stop!", "Wait.", "No.", "Hold on."])
def test_a_stop_word_stops_the_agent_at_once_however_unclear_and_short(speaking_core: NewCore, text: str) -> None:
    core = speaking_core()
    core.hear(128, VOICE)
    assert kinds(core.understand(text, confidence=0.3)) == YIELDS


def test_an_interruption_is_carried_out_in_the_strict_order_and_then_the_turn_begins_with_its_first_sound(
    speaking_core: NewCore,
) -> None:
    core = speaking_core()
    core.send(SayRequested("item_2"))
    core.hear(480, VOICE)
    assert core.understand("What time is") == [
        BumpEpoch(),
        FlushPlayback(ITEM),
        CancelSpeech(ITEM),
        CancelResponse((ITEM, "item_2"), by_user=True),
        DropItem("item_2"),
        AwaitFinalPosition(ITEM, SETTINGS.final_position_ms),
    ]
    assert core.state.agent is AgentState.YIELD
    assert core.hear(96, VOICE) == []
    assert core.send(FinalPosition(ITEM)) == [TruncateItem(ITEM), TurnStarted(1, samples_of_ms(960))]
    assert core.state.user is UserState.USER
    assert core.state.last_voiced_samples == core.state.now_samples


def test_who_is_silent_again_when_the_agent_has_yielded_has_a_turn_all_the_same(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(320, VOICE)
    core.hear(96, SILENCE)
    core.understand("Stop.")
    core.hear(160, SILENCE)
    core.send(FinalPosition(ITEM))
    core.hear(32, SILENCE)
    assert core.state.user is UserState.PAUSED


@pytest.mark.parametrize("text", ["Mhm.", "Yeah, right.", "Okay.", ""])
def test_listening_aloud_pauses_the_agent_at_most_and_it_goes_on_when_it_is_over(
    speaking_core: NewCore, text: str
) -> None:
    core = speaking_core()
    core.hear(480, VOICE)
    core.hear(96, SILENCE)
    assert core.understand(text) == []
    assert core.hear(64, SILENCE) == []
    start, stop = samples_of_ms(960), samples_of_ms(1_440)
    assert core.hear(32, SILENCE) == [BumpEpoch(), ResumeItem(ITEM), NotifyBackchannel(start, stop, text)]
    assert core.state.agent is AgentState.SPEAKING
    assert core.hear(3_000, SILENCE) == []


def test_a_short_one_that_only_ducked_it_needs_no_resuming(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(160, VOICE)
    core.hear(96, SILENCE)
    core.understand("Mhm.")
    assert kinds(core.hear(96, SILENCE)) == [UnduckItem, NotifyBackchannel]
    assert core.of(PauseItem) == core.of(BumpEpoch) == []


def test_all_the_words_are_asked_for_at_the_first_silence_and_again_at_the_next(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(480, VOICE)
    (asked,) = core.hear(64, SILENCE)
    assert isinstance(asked, HearOverlap)
    assert (asked.overlap_samples, asked.is_complete) == (samples_of_ms(960), True)
    assert asked.start_samples == samples_of_ms(960 - SETTINGS.pre_roll_ms)
    assert asked.end_samples == core.state.now_samples
    assert core.hear(64, SILENCE) == []
    core.hear(32, VOICE)
    assert kinds(core.hear(64, SILENCE)) == [HearOverlap]


def test_while_the_user_speaks_one_word_may_be_the_beginning_of_anything(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(480, VOICE)
    assert core.understand("Let") == []
    assert kinds(core.understand("Let me")) == YIELDS


def test_one_clear_word_and_then_silence_is_an_interruption(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(480, VOICE)
    core.hear(96, SILENCE)
    assert kinds(core.understand("Paris.")) == YIELDS


def test_words_that_are_a_guess_do_not_stop_the_agent(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(480, VOICE)
    core.understand("Come here", confidence=CLEAR - 0.01)
    core.hear(96, SILENCE)
    core.understand("Come here", confidence=CLEAR - 0.01)
    core.hear(96, SILENCE)
    assert core.of(CancelSpeech) == []
    assert core.of(ResumeItem) == [ResumeItem(ITEM)]


def test_a_backchannel_that_turns_into_a_sentence_is_an_interruption(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(480, VOICE)
    core.understand("Yeah")
    core.hear(480, VOICE)
    assert kinds(core.understand("Yeah, but I wanted")) == YIELDS


def test_a_long_voice_stops_the_agent_though_nobody_could_say_what_it_says(speaking_core: NewCore) -> None:
    for confidence in (None, 0.2):
        core = speaking_core()
        core.hear(1_024, VOICE)
        if confidence is not None:
            core.understand("a her rate", confidence)
        assert core.of(CancelSpeech) == []
        core.hear(192, VOICE)
        assert core.of(CancelSpeech) == [CancelSpeech(ITEM)]


def test_a_long_backchannel_does_not_stop_it_and_the_pause_has_a_limit(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(480, VOICE)
    core.understand("Yeah yeah yeah")
    core.hear(SETTINGS.hold_limit_ms + 64, VOICE)
    assert core.of(CancelSpeech) == []
    assert core.of(ResumeItem) == [ResumeItem(ITEM)]


@pytest.mark.parametrize(("voiced_ms", "stops"), [(160, False), (480, False), (800, True)])
def test_if_the_words_never_come_the_length_decides(speaking_core: NewCore, voiced_ms: int, *, stops: bool) -> None:
    core = speaking_core()
    core.hear(voiced_ms, VOICE)
    core.hear(SETTINGS.verdict_ms - 32, SILENCE)
    assert core.state.overlap is not None
    core.hear(64, SILENCE)
    assert bool(core.of(CancelSpeech)) is stops


def test_words_that_come_after_the_verdict_still_stop_the_agent_once(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(320, VOICE)
    overlap = core.state.overlap
    assert overlap is not None
    core.hear(800, SILENCE)
    assert core.state.agent is AgentState.SPEAKING
    late = OverlapHeard(overlap.start_samples, core.state.now_samples, "Stop!", text_cues("Stop!", "en"), 0.9)
    assert kinds(core.send(late)) == YIELDS
    assert core.send(late) == []
    assert core.send(FinalPosition(ITEM)) == [TruncateItem(ITEM), TurnStarted(1, samples_of_ms(960))]


def test_unclear_words_that_sound_like_a_stop_word_stop_it_once_they_are_all_there(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(480, VOICE)
    assert core.understand("Espeda", 0.4, language="es") == []  # it may be the beginning of anything
    core.hear(64, SILENCE)
    assert kinds(core.understand("Espeda", 0.4, language="es")) == YIELDS


def test_one_that_nothing_comes_after_does_so_too(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(480, VOICE)
    assert core.understand("Espeda", 0.4, language="es") == []
    assert kinds(core.send(InputStalled())) == YIELDS


def test_a_clear_filler_stops_nobody_whatever_it_is_like(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(480, VOICE)
    core.hear(64, SILENCE)
    assert core.understand("Esperemos", 0.9, language="es") != []  # content, clearly heard
    core = speaking_core()
    core.hear(480, VOICE)
    overlap = core.state.overlap
    assert overlap is not None
    core.hear(64, SILENCE)
    place, cues = (overlap.start_samples, core.state.now_samples), text_cues("Este", "es")
    assert core.send(OverlapHeard(*place, "Este", cues, 0.9, is_like_stop=True)) == []


def test_late_words_of_a_backchannel_change_nothing(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(320, VOICE)
    overlap = core.state.overlap
    assert overlap is not None
    core.hear(800, SILENCE)
    for text in ("Mhm.", "Stop!"):  # the first answer is the answer
        assert core.send(OverlapHeard(overlap.start_samples, 10**6, text, text_cues(text, "en"), 0.9)) == []


def test_if_audio_stops_coming_what_there_is_decides(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(480, VOICE)
    assert core.send(InputStalled())[:2] == [BumpEpoch(), ResumeItem(ITEM)]
    core = speaking_core()
    core.hear(800, VOICE)
    assert kinds(core.send(InputStalled())) == YIELDS
    assert core.send(InputStalled()) == []


def test_words_about_an_earlier_overlap_and_older_words_of_this_one_are_ignored(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(320, VOICE)
    earlier = core.state.overlap
    assert earlier is not None
    core.understand("Mhm.")
    stop = OverlapHeard(earlier.start_samples, core.state.now_samples - 1, "Stop!", text_cues("Stop!", "en"), 0.9)
    assert core.send(stop) == []
    core.hear(320, SILENCE)
    core.understand("Mhm.")
    assert core.state.agent is AgentState.SPEAKING
    core.hear(320, VOICE)
    assert core.send(OverlapHeard(earlier.start_samples, 10**9, "Stop!", text_cues("Stop!", "en"), 0.9)) == []


def test_echo_is_no_voice_however_speech_like_it_is(speaking_core: NewCore) -> None:
    core = speaking_core()
    assert core.hear(3_200, VOICE, echo=0.8) == []
    assert kinds(core.hear(96, VOICE, echo=0.2)) == [DuckItem]


def test_in_the_agents_first_seconds_a_voice_must_be_clearer_and_still_interrupts(speaking_core: NewCore) -> None:
    core = speaking_core()
    assert core.hear(320, 0.8) == []
    assert kinds(core.hear(96, VOICE)) == [DuckItem]
    later = speaking_core()
    later.hear(3_000, SILENCE)
    assert kinds(later.hear(96, 0.8)) == [DuckItem]


def test_what_turns_out_to_have_been_the_agents_own_echo_was_no_overlap(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.send(*[VadFrame(VOICE, None)] * 10)
    assert core.state.agent is AgentState.HELD
    assert core.send(VadFrame(VOICE, 0.9)) == [BumpEpoch(), ResumeItem(ITEM)]
    core.send(*[VadFrame(VOICE, None)] * 4)
    core.send(VadFrame(VOICE, 0.1), VadFrame(SILENCE, 0.9), VadFrame(VOICE, 0.9))
    assert core.state.agent is AgentState.DUCKED  # it was the user's voice, over the echo


def test_what_is_muted_interrupts_nobody(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.send(MuteChanged(is_muted=True))
    assert core.hear(3_200, VOICE) == []


def test_an_item_that_must_be_said_whole_waits_for_the_users_turn_and_then_goes_on(speaking_core: NewCore) -> None:
    core = speaking_core(interruption=Interruption.HOLD)
    core.hear(480, VOICE)
    assert core.understand("What time is it") == [TurnStarted(1, samples_of_ms(960))]
    assert core.state.agent is AgentState.HELD
    core.hear(1_000, VOICE)
    core.send(InputStalled())
    resumed = core.send(
        FinalReady(core.state.generation, "What time is it?", "en", text_cues("What time is it?", "en"))
    )
    assert resumed[-2:] == [BumpEpoch(), ResumeItem(ITEM)]
    assert core.of(CancelSpeech) == []


def test_a_stop_word_while_such_an_item_is_only_ducked_pauses_it_and_is_a_turn(speaking_core: NewCore) -> None:
    core = speaking_core(interruption=Interruption.HOLD)
    core.hear(128, VOICE)
    assert kinds(core.understand("Stop!")) == [PauseItem, TurnStarted]


def test_what_cannot_be_interrupted_goes_on_at_full_volume_and_the_turn_is_kept(speaking_core: NewCore) -> None:
    for core in (speaking_core(interruption=Interruption.UNINTERRUPTIBLE), speaking_core(TurnSettings(barge_in=False))):
        core.hear(1_200, VOICE)
        assert TurnStarted(1, samples_of_ms(960)) in core.actions
        assert not {DuckItem, PauseItem, BumpEpoch} & set(kinds(core.actions))
        assert core.state.agent is AgentState.SPEAKING


def test_an_answer_of_which_nothing_was_heard_is_given_up_at_the_onset(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.send(ItemPlayed(ITEM), SayRequested("item_2"))
    assert kinds(core.hear(96, VOICE)) == [*YIELDS, TurnStarted]
    assert core.of(DuckItem) == []


def test_one_that_must_be_said_whole_waits_instead(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.send(ItemPlayed(ITEM), SayRequested("item_2", Interruption.HOLD))
    assert kinds(core.hear(96, VOICE)) == [PauseItem, TurnStarted]
    assert core.state.agent is AgentState.HELD


def test_speech_that_outlasts_the_agent_is_the_users_turn(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(128, VOICE)
    assert core.send(ItemPlayed(ITEM)) == [EndItem(ITEM), TurnStarted(1, samples_of_ms(960))]


def test_the_client_may_stop_the_agent_while_it_is_ducked_or_paused(speaking_core: NewCore) -> None:
    for voiced_ms in (128, 480):
        core = speaking_core()
        core.hear(voiced_ms, VOICE)
        stopped = core.send(StopRequested())
        assert kinds(stopped) == YIELDS
        assert CancelResponse((ITEM,), by_user=False) in stopped
        assert kinds(core.send(FinalPosition(ITEM))) == [TruncateItem, TurnStarted]


def test_what_the_client_clears_is_no_interruption(speaking_core: NewCore) -> None:
    core = speaking_core()
    core.hear(480, VOICE)
    assert core.send(ClearRequested())[:2] == [BumpEpoch(), ResumeItem(ITEM)]
    core.hear(480, VOICE)
    core.understand("What time is it")
    core.send(ClearRequested(), FinalPosition(ITEM))
    assert core.of(TurnStarted) == []


def test_what_the_client_commits_is_one_whatever_was_said(speaking_core: NewCore) -> None:
    core = speaking_core(TurnSettings(detection=TurnDetection.MANUAL))
    core.hear(480, VOICE)
    committed = core.send(CommitRequested())
    assert kinds(committed)[:5] == YIELDS
    assert TurnStarted in kinds(committed)
    core.send(FinalPosition(ITEM))
    assert len(core.of(TurnStarted)) == 1
    assert core.too_late == []
