import pytest

from evals.turns.device import Played
from evals.turns.dialogue import Intent
from evals.turns.outcomes import Outcomes, outcomes
from evals.turns.performance import Performance, Received, Utterance, WireEvent, WordPlace
from evals.turns.rendering import Span
from schemas.audio import SESSION_RATE_HZ

MS = SESSION_RATE_HZ // 1000


def utterance(
    start_ms: int,
    end_ms: int,
    *,
    intent: Intent = Intent.TURN,
    over: str | None = None,
    holds: tuple[tuple[int, int], ...] = (),
) -> Utterance:
    return Utterance(
        place=0,
        intent=intent,
        text="one two",
        start_samples=start_ms * MS,
        end_samples=end_ms * MS,
        holds=tuple(Span(begin * MS, end * MS) for begin, end in holds),
        item_id=over,
    )


def at(ms: int, kind: str, **fields: object) -> Received:
    return Received(ms * MS, WireEvent(type=kind, **fields))  # type: ignore[arg-type]


def played(clock_ms: int, offset_ms: int, duration_ms: int, gain: float = 1.0) -> Played:
    return Played("item", clock_ms * MS, offset_ms * MS, duration_ms * MS, gain)


def judged(utterances: list[Utterance], received: list[Received], sound: list[Played] | None = None) -> Outcomes:
    return outcomes(
        [
            Performance(
                name="a",
                language="en",
                voice="alto",
                channel="clean",
                has_echo=False,
                buffer_ms=0,
                utterances=tuple(utterances),
                received=tuple(received),
                played=tuple(sound or []),
            )
        ]
    )


def test_latency_counts_from_the_last_sound_to_the_arrival_of_the_event() -> None:
    found = judged([utterance(0, 2_000)], [at(2_420, "turn.ended", ended_ms=2_000)])
    assert found.turns[0].latency_ms == pytest.approx(420)
    assert not found.turns[0].is_missed


def test_a_turn_ended_in_a_hold_is_a_false_cutoff_and_no_end() -> None:
    one = utterance(0, 3_000, holds=((1_000, 1_600), (2_000, 2_100)))
    found = judged([one], [at(1_500, "turn.ended", ended_ms=1_000), at(6_500, "turn.ended", ended_ms=3_000)])
    assert [hold.cut for hold in found.holds] == [True]
    assert found.turns[0].is_missed


def test_an_agent_that_falls_silent_for_a_stop_word_has_yielded() -> None:
    stop = utterance(5_000, 5_600, intent=Intent.STOP, over="item")
    sound = [played(3_000, 0, 2_100), played(5_100, 2_100, 200, 0.25)]
    found = judged([stop], [at(5_310, "playback.flush", item_id="item")], sound)
    (one,) = found.overlaps
    assert one.yielded
    assert one.is_right
    assert one.silent_ms == pytest.approx(300)
    assert one.ducked_ms == pytest.approx(100)


def test_an_agent_that_pauses_for_a_backchannel_and_goes_on_is_right() -> None:
    mhm = utterance(5_000, 5_400, intent=Intent.BACKCHANNEL, over="item")
    sound = [played(3_000, 0, 2_250), played(5_700, 2_100, 3_000)]
    received = [at(5_250, "playback.pause", item_id="item"), at(9_000, "say.ended", item_id="item", status="completed")]
    found = judged([mhm], received, sound)
    (one,), (item,) = found.overlaps, found.items
    assert one.is_right
    assert one.paused
    assert one.resumed_ms == pytest.approx(450)
    assert item.replayed_ms == pytest.approx(150)
    assert item.lost_ms == 0


def test_an_agent_that_stops_for_a_cough_is_wrong_and_one_that_stops_much_later_did_not_stop_for_it() -> None:
    cough = utterance(5_000, 5_300, intent=Intent.COUGH, over="item")
    sound = [played(3_000, 0, 2_300)]
    assert not judged([cough], [at(5_300, "playback.flush", item_id="item")], sound).overlaps[0].is_right
    late = judged([cough], [at(8_000, "playback.flush", item_id="item")], [played(3_000, 0, 5_000)])
    assert late.overlaps[0].is_right


def test_words_the_server_believes_heard_are_held_against_those_that_were() -> None:
    words = (WordPlace("one", 0, 400), WordPlace("two", 400, 900), WordPlace("three", 900, 1_500))
    ended = at(6_000, "say.ended", item_id="item", status="interrupted", heard_text="one two three", words=words)
    assert judged([], [ended], [played(3_000, 0, 1_000)]).items[0].heard_words_error == 1
    unknown = at(6_000, "say.ended", item_id="item", status="interrupted", heard_text="one")
    assert judged([], [unknown], [played(3_000, 0, 1_000)]).items[0].heard_words_error is None


def test_an_eager_end_is_a_hit_if_the_turn_ends_with_its_text() -> None:
    received = [
        at(1_000, "turn.eager", text="one"),
        at(1_200, "turn.resumed"),
        at(2_000, "turn.eager", text="one two"),
        at(2_300, "turn.ended", text="one two", ended_ms=1_800),
    ]
    assert [one.hit for one in judged([utterance(0, 1_800)], received).speculations] == [False, True]


def test_a_turn_in_the_user_s_silence_is_a_false_start() -> None:
    heard = at(1_500, "turn.ended", started_ms=0, ended_ms=1_000)
    received = [heard, at(9_000, "turn.ended", started_ms=7_000, ended_ms=8_000)]
    assert judged([utterance(0, 1_000)], received).false_starts == 1
