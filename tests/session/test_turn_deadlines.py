"""How much silence ends a turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.sessions import TurnProfile, TurnSettings
from session.deadline import BY_HAND, PAUSE_MAX_MS, PAUSE_MIN_MS, deadline_ms, floor_ms
from session.end_of_turn import WEIGHTS
from session.lexicons import text_cues
from session.turn import step
from session.turn_actions import CommitReason, CommitTurn, FinalizeAsr, ScoreEndOfTurn
from session.turn_end import FRAME_MS, reached_ms, reaches
from session.turn_events import EndOfTurnScore, FinalReady, TurnEvent, VadFrame
from session.turn_state import TurnState, ms_of_samples, samples_of_ms

SETTINGS = TurnSettings()
LONGEST_MS = 5_000


def silence_ms(
    text: str,
    score: float | None,
    settings: TurnSettings = SETTINGS,
    *,
    language: str = "en",
    may_ask: bool = True,
    ending: float | None = None,
) -> int:
    """How much silence ends a turn with this text, if models answer at once, the turn detector always the same.

    ``ending`` is the probability that a sentence ends behind it, where the recogniser knows.
    """
    state = TurnState()
    waiting: list[TurnEvent] = [*[VadFrame(0.9)] * 30, *[VadFrame(0.05)] * 200]
    while waiting:
        state, actions = step(state, waiting.pop(0), settings)
        for action in actions:
            match action:
                case FinalizeAsr():
                    cues = text_cues(text, language, ending)
                    waiting.insert(0, FinalReady(action.generation, text, language, cues))
                case ScoreEndOfTurn():
                    assert may_ask
                    waiting.insert(0, EndOfTurnScore(action.generation, score))
                case CommitTurn():
                    assert action.reason is CommitReason.SILENCE
                    return ms_of_samples(action.decided_samples - action.end_samples)
                case _:
                    pass
    raise AssertionError


@given(st.integers(1, LONGEST_MS))
def test_a_silence_is_reached_by_one_number_of_frames_and_not_by_one_less(limit_ms: int) -> None:
    frames_ms = reached_ms(limit_ms)
    assert reaches(samples_of_ms(frames_ms), limit_ms)
    assert not reaches(samples_of_ms(frames_ms - FRAME_MS), limit_ms)


def test_a_turn_that_is_surely_over_ends_within_half_a_second() -> None:
    assert silence_ms("I would like to fly to Berlin.", 0.99) <= 448


def test_a_turn_that_is_surely_not_over_may_pause_for_a_second_and_a_half() -> None:
    assert 1_500 <= silence_ms("I would like to fly to the", 0.02) <= 2_600


def test_the_same_silence_ends_a_sentence_sooner_than_half_of_one() -> None:
    def waits(text: str, ending: float | None = None) -> list[int]:
        return [silence_ms(text, score / 10, ending=ending) for score in range(1, 10)]

    whole, half = waits("I would like to fly to Berlin."), waits("I would like to fly to the.")
    assert all(sooner <= later for sooner, later in zip(whole, half, strict=True))
    assert sum(whole) < sum(half)
    known_whole, known_half = waits("I would like to fly.", 0.5), waits("I would like to book.", 0.005)
    assert sum(known_whole) + 2_000 < sum(known_half)  # the recogniser knows what no lexicon does


def test_short_answers_end_by_six_tenths_of_a_second_though_the_turn_detector_takes_them_for_unfinished() -> None:
    for text, language in (("Hello.", "en"), ("Ja, bitte.", "de"), ("Sí.", "es"), ("Non merci.", "fr"), ("Oi!", "pt")):
        assert silence_ms(text, 0.02, language=language) <= 608


def test_the_language_heard_chooses_the_lexicon() -> None:
    def waits(language: str) -> list[int]:
        return [silence_ms("Ich hätte gerne eine", score / 10, language=language) for score in range(1, 10)]

    german, english = waits("de"), waits("en")
    assert all(known >= unknown for known, unknown in zip(german, english, strict=True))
    assert sum(german) >= sum(english) + 500  # more must come, whichever score the fitted deadlines lie at


def test_digits_are_waited_for_however_much_each_group_sounds_like_an_end() -> None:
    assert silence_ms("My number is five five five.", 0.99) >= 1_488
    assert silence_ms("My number is five five five.", 0.99, TurnSettings(profile=TurnProfile.FAST)) >= 1_488


def test_profiles_wait_shorter_and_longer() -> None:
    waits = [
        silence_ms("I would like to fly to Berlin.", 0.99, TurnSettings(profile=profile))
        for profile in (TurnProfile.FAST, TurnProfile.BALANCED, TurnProfile.PATIENT, TurnProfile.DICTATION)
    ]
    assert waits == sorted(waits)
    assert waits[0] <= 320
    assert waits[-1] >= 1_488


def test_a_silence_that_was_set_decides_alone_and_asks_nobody() -> None:
    settings = TurnSettings(silence_duration_ms=800)
    assert silence_ms("I would like to fly to the", 0.02, settings, may_ask=False) == 800


def test_without_a_turn_detector_it_decides_how_likely_the_words_are_all() -> None:
    over, open_ended = "I would like to fly to Berlin.", "I would like to fly to the"
    assert silence_ms(over, None, ending=0.7) < silence_ms(open_ended, None, ending=0.01)


@given(
    st.floats(0, 1),
    st.sampled_from(list(TurnProfile)),
    st.floats(PAUSE_MIN_MS, PAUSE_MAX_MS),
    st.sampled_from([None, "", "hello", "and the", "five five five"]),
)
def test_no_deadline_is_before_the_floor_or_after_five_seconds(
    probability: float, profile: TurnProfile, pause_ms: float, text: str | None
) -> None:
    settings = TurnSettings(profile=profile)
    cues = None if text is None else text_cues(text, "en")
    for deadlines in (BY_HAND, WEIGHTS.deadlines):
        wait_ms = deadline_ms(probability, cues, pause_ms, settings, deadlines)
        assert floor_ms(settings, deadlines) <= wait_ms <= LONGEST_MS
