"""A decision log under other settings."""

from __future__ import annotations

import pytest

from schemas.audio import VAD_FRAME_SAMPLES
from schemas.errors import ErrorCode, SpeechError
from schemas.sessions import TurnProfile, TurnSettings
from session.counterfactual import TurnEnd, changed_settings, counterfactual
from session.decision_log import DecisionLog, Entry, Header, encoded_actions
from session.lexicons import text_cues
from session.redaction import Redactor
from session.replay import redact, replay
from session.turn import step
from session.turn_actions import (
    AwaitFinalPosition,
    CancelFinal,
    CancelSpeech,
    FinalizeAsr,
    HearOverlap,
    PartialAsr,
    ScoreEndOfTurn,
    SetTimer,
    StartItem,
    TurnAction,
)
from session.turn_events import (
    EndOfTurnScore,
    FinalPosition,
    FinalReady,
    ItemAudible,
    ItemPlayed,
    OverlapHeard,
    PartialReady,
    SayRequested,
    TimerExpired,
    TurnEvent,
    VadFrame,
)
from session.turn_state import TurnState, samples_of_ms

FRAME_US = 32_000
VOICE, SILENCE = 0.9, 0.05
ASR_US, SCORE_US = 90_000, 25_000
SPOKEN_US = 1_500_000


class Talk:
    """A session whose models answer after a while, and its log."""

    def __init__(self, settings: TurnSettings | None = None) -> None:
        self.settings = settings or TurnSettings()
        self.score = 0.9
        self.text = "I would like two tickets please."
        self._state = TurnState()
        self._now_us = 0
        self._due: dict[str, tuple[int, TurnEvent]] = {}
        self._entries: list[Entry] = []

    @property
    def log(self) -> DecisionLog:
        header = Header(antiphon="0.1.0", session_id="ses_1", redacted=False, settings=self.settings)
        return DecisionLog(header, tuple(self._entries))

    def hear(self, ms: int, probability: float) -> None:
        for _ in range(-(-samples_of_ms(ms) // VAD_FRAME_SAMPLES)):
            self._pass(FRAME_US)
            self.send(VadFrame(probability))

    def _pass(self, duration_us: int) -> None:
        until_us = self._now_us + duration_us
        while self._due:
            key, (due_us, event) = min(self._due.items(), key=lambda item: item[1][0])
            if due_us > until_us:
                break
            del self._due[key]
            self._now_us = due_us
            self.send(event)
        self._now_us = until_us

    def send(self, event: TurnEvent) -> None:
        before = self._state
        self._state, actions = step(before, event, self.settings)
        self._entries.append(
            Entry(
                seq=len(self._entries) + 1,
                t=before.now_samples,
                us=self._now_us,
                event=event,
                actions=encoded_actions(actions),
            )
        )
        for action in actions:
            self._perform(action)

    def _answer(self, key: str, after_us: int, event: TurnEvent) -> None:
        self._due[key] = (self._now_us + after_us, event)

    def _perform(self, action: TurnAction) -> None:
        cues = text_cues(self.text, "en")
        match action:
            case PartialAsr() if "partial" not in self._due:
                partial = PartialReady(action.turn, self.text, "en", cues, 0.5, action.end_samples)
                self._answer("partial", ASR_US, partial)
            case FinalizeAsr():
                self._due.pop("partial", None)
                self._answer("final", ASR_US, FinalReady(action.generation, self.text, "en", cues))
            case CancelFinal():
                self._due.pop("partial", None)
                self._due.pop("final", None)
            case HearOverlap() if "overlap" not in self._due:
                heard = OverlapHeard(action.overlap_samples, action.end_samples, self.text, cues, 0.9)
                self._answer("overlap", ASR_US, heard)
            case ScoreEndOfTurn() if "score" not in self._due:
                self._answer("score", SCORE_US, EndOfTurnScore(action.generation, self.score))
            case SetTimer():
                self._answer(action.timer, action.after_ms * 1000, TimerExpired(action.timer, action.generation))
            case StartItem():
                self._answer("audible", 50_000, ItemAudible(action.item_id))
                self._answer("played", SPOKEN_US, ItemPlayed(action.item_id))
            case CancelSpeech():
                self._due.pop("audible", None)
                self._due.pop("played", None)
            case AwaitFinalPosition():
                self._answer("position", 40_000, FinalPosition(action.item_id))
            case _:
                pass


def _conversation(settings: TurnSettings | None = None) -> Talk:
    """Three turns: one with a pause for thought, one that is answered, one that interrupts."""
    talk = Talk(settings)
    talk.hear(320, SILENCE)
    talk.hear(1_600, VOICE)
    talk.score, talk.text = 0.2, "I would like to"
    talk.hear(640, SILENCE)
    talk.score, talk.text = 0.9, "I would like to buy two tickets."
    talk.hear(1_280, VOICE)
    talk.hear(1_600, SILENCE)
    talk.send(SayRequested("item_1"))
    talk.hear(2_400, SILENCE)
    talk.text = "Yes."
    talk.hear(640, VOICE)
    talk.hear(2_560, SILENCE)
    talk.send(SayRequested("item_2"))
    talk.hear(480, SILENCE)
    talk.text = "No, stop, I want something else."
    talk.hear(1_600, VOICE)
    talk.hear(2_400, SILENCE)
    return talk


@pytest.mark.parametrize("profile", list(TurnProfile))
def test_under_its_own_settings_every_turn_ends_as_it_did(profile: TurnProfile) -> None:
    talk = _conversation(TurnSettings(profile=profile))
    assert replay(talk.log).differing == 0
    ends = counterfactual(talk.log, talk.settings)
    assert len(ends) >= 3
    assert all(end.logged_ms == end.counterfactual_ms for end in ends)


def test_a_faster_profile_ends_turns_sooner_and_a_patient_one_later() -> None:
    log = _conversation().log
    for profile, sign in (("fast", -1), ("patient", 1)):
        ends = counterfactual(log, changed_settings(log.header.settings, {"profile": profile}))
        both = [(end.logged_ms, end.counterfactual_ms) for end in ends if end.logged_ms and end.counterfactual_ms]
        assert len(both) >= 3
        assert all(sign * (other - logged) > 0 for logged, other in both)


def test_silence_that_decides_alone_would_have_cut_the_user_off_where_they_paused() -> None:
    log = _conversation().log
    ends = counterfactual(log, changed_settings(log.header.settings, {"silence_duration_ms": "300", "reopen_ms": "0"}))
    cut = ends[0]
    assert (cut.logged_ms, cut.counterfactual_ms) == (None, 288)
    assert cut.speech_end_ms == 1_920


def test_what_would_have_gone_on_is_told_too() -> None:
    log = _conversation(TurnSettings(silence_duration_ms=300, reopen_ms=0)).log
    ends = counterfactual(log, changed_settings(log.header.settings, {"silence_duration_ms": "null"}))
    assert ends[0].logged_ms == 288
    assert ends[0].counterfactual_ms is None
    assert all(isinstance(end, TurnEnd) for end in ends)


def test_a_redacted_log_has_the_same_counterfactual() -> None:
    log = _conversation().log
    settings = changed_settings(log.header.settings, {"profile": "fast"})
    assert counterfactual(redact(log, Redactor()), settings) == counterfactual(log, settings)


@pytest.mark.parametrize("changes", [{"profile": "hasty"}, {"onset_ms": "soon"}, {"pace": "2"}])
def test_what_is_no_setting_is_refused_with_those_there_are(changes: dict[str, str]) -> None:
    with pytest.raises(SpeechError) as caught:
        changed_settings(TurnSettings(), changes)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert "profile" in caught.value.message
