from msgspec.structs import replace

from evals.turns.pauses import Pause, Score
from schemas.audio import SESSION_RATE_HZ
from schemas.sessions import TurnProfile, TurnSettings
from server.evaluation.policy import features_of, our_policy, stability
from session.end_of_turn import WEIGHTS

SCORED_MS = (200, 300, 400, 500, 600, 800, 1_000, 1_500, 2_000, 2_700)


def pause(text: str, score: float, earlier_text: str | None = None) -> Pause:
    return Pause(
        clip="a",
        language="en",
        channel="clean",
        is_end=True,
        turn_samples=0,
        start_samples=SESSION_RATE_HZ,
        resume_samples=5 * SESSION_RATE_HZ,
        speech_end_samples=SESSION_RATE_HZ,
        ours=tuple(Score(ms, score) for ms in SCORED_MS),
        text=text,
        earlier_text=text if earlier_text is None else earlier_text,
    )


def test_a_turn_that_sounds_and_reads_complete_ends_sooner_than_one_that_trails_off() -> None:
    fire = our_policy().profiles["balanced"]
    assert fire(pause("Yes, please.", 0.98)) < fire(pause("I would like a table for", 0.05))


def test_the_probability_grows_with_silence() -> None:
    likely = [score for _, score in our_policy().scores(pause("I would like a table.", 0.5))]
    assert likely == sorted(likely)
    assert 0 < likely[0] < likely[-1] < 1


def test_a_patient_session_waits_longer_than_a_fast_one() -> None:
    profiles = our_policy().profiles
    one = pause("I would like a table.", 0.5)
    assert profiles["fast"](one) < profiles["balanced"](one) < profiles["patient"](one)


def test_the_settings_asked_for_are_what_is_under_test() -> None:
    one = pause("I would like a table.", 0.5)
    default, patient = (
        our_policy(TurnSettings(profile=profile)).profiles for profile in (TurnProfile.BALANCED, TurnProfile.PATIENT)
    )
    assert list(patient) == ["patient", "balanced", "fast"]
    assert patient["patient"](one) == default["patient"](one)
    silent = our_policy(TurnSettings(silence_duration_ms=730)).profiles
    assert {fire(one) for fire in silent.values()} == {736}  # the first whole frame that reaches it


def test_words_that_changed_since_the_silence_began_are_not_stable() -> None:
    assert stability(pause("one two three", 0.5, "one two four")) == 2 / 3
    assert stability(pause("one", 0.5, "")) == 1.0


def test_a_question_and_a_long_turn_are_told() -> None:
    ((_, question), *_), ((_, statement), *_) = (
        features_of(pause(text, 0.5), WEIGHTS) for text in ("Is it?", "It is so.")
    )
    assert (question.question, statement.question) == (1.0, 0.0)
    assert statement.length > question.length


def test_what_the_turn_detector_has_said_before_counts_on() -> None:
    wavering = pause("It is so.", 0.5)
    wavering = replace(wavering, ours=tuple(Score(200 + 100 * n, 0.1 + 0.8 * (n % 2)) for n in range(4)))
    newest, least, merged = (
        [features.audio_logit for _, features in features_of(wavering, weights)]
        for weights in (
            replace(WEIGHTS, least_score=False, score_memory=0.0),
            replace(WEIGHTS, least_score=True),
            replace(WEIGHTS, least_score=False, score_memory=0.5),
        )
    )
    assert newest[0] < newest[1]
    assert least == [newest[0]] * 4
    assert newest[0] < merged[2] < merged[1] < newest[1]


def test_what_is_heard_when_the_turn_ends_comes_too_late() -> None:
    soon, *_ = WEIGHTS.deadlines
    weights = replace(WEIGHTS, deadlines=((soon[0], 400), (0.0, 2_500)), score_memory=0.0)
    fire = our_policy(weights=weights).profiles["balanced"]
    doubted = pause("I would like a table for four.", 0.99)
    assert fire(doubted) == 384  # the frame that is nearest
    at_once, at_last = (
        replace(doubted, ours=tuple(Score(ms, 0.01 if ms >= since else 0.99) for ms in SCORED_MS))
        for since in (300, 400)
    )
    assert fire(at_once) > 2_000
    assert fire(at_last) == 384


def test_a_pause_that_was_too_short_to_be_scored_ends_no_turn_in_it() -> None:
    unheard = Pause(
        clip="a",
        language="en",
        channel="clean",
        is_end=False,
        turn_samples=0,
        start_samples=0,
        resume_samples=0,
        speech_end_samples=0,
    )
    assert our_policy().profiles["balanced"](unheard) > unheard.silence_ms
