from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from schemas.sessions import HeardSource, WordHeard
from schemas.speech import SpokenWord
from session.playout import ACK_TOLERANCE_MS, MAX_EXTRAPOLATION_MS, PlayoutLedger

MS = 1_000


def ledger_of(text: str, word_ms: int = 200, *, output_latency_ms: int = 0) -> PlayoutLedger:
    """Each word takes ``word_ms`` of audio."""
    ledger = PlayoutLedger(output_latency_ms)
    ledger.add_text(text)
    words: list[SpokenWord] = []
    place = 0
    for number, word in enumerate(text.split()):
        place = text.index(word, place)
        start_s = number * word_ms / 1000
        words.append(SpokenWord(word, place, place + len(word), start_s, start_s + word_ms / 1000))
        place += len(word)
    ledger.add_words(tuple(words), text_offset=0, audio_offset_ms=0)
    return ledger


def test_without_acknowledgements_the_position_follows_the_clock_up_to_what_was_sent() -> None:
    ledger = ledger_of("one two three four")
    ledger.add_audio(400, 0)
    assert ledger.position_ms(250 * MS) == 250
    assert ledger.position_ms(900 * MS) == 400
    heard = ledger.heard(250 * MS, complete=False)
    assert (heard.text, heard.remaining) == ("one", "two three four")
    assert heard.source is HeardSource.ESTIMATED


def test_after_an_underrun_playback_goes_on_when_audio_comes() -> None:
    ledger = ledger_of("one two")
    ledger.add_audio(200, 0)
    ledger.add_audio(200, 1_000 * MS)
    assert ledger.position_ms(1_100 * MS) == 300


def test_an_acknowledgement_replaces_the_estimate() -> None:
    ledger = ledger_of("one two three four")
    ledger.add_audio(800, 0)
    ledger.acknowledge(150, 500 * MS, final=False)
    assert ledger.position_ms(500 * MS) == 150
    assert ledger.position_ms(600 * MS) == 250
    assert ledger.heard(600 * MS, complete=False).source is HeardSource.ACKNOWLEDGED


def test_a_client_that_falls_silent_is_followed_for_one_second() -> None:
    ledger = ledger_of("word " * 20)
    ledger.add_audio(4_000, 0)
    ledger.acknowledge(500, 600 * MS, final=False)
    assert ledger.position_ms(60_000 * MS) == 1_500


def test_a_final_position_stops_the_clock_and_later_ones_are_ignored() -> None:
    ledger = ledger_of("one two three four")
    ledger.add_audio(800, 0)
    ledger.acknowledge(450, 500 * MS, final=True)
    ledger.acknowledge(700, 900 * MS, final=False)
    heard = ledger.heard(5_000 * MS, complete=True)
    assert (heard.text, heard.remaining, heard.heard_ms) == ("one two", "three four", 450)


def test_a_frozen_position_moves_only_by_acknowledgement() -> None:
    ledger = ledger_of("one two three four")
    ledger.add_audio(800, 0)
    ledger.freeze(300 * MS)
    assert ledger.position_ms(700 * MS) == 300
    ledger.acknowledge(420, 700 * MS, final=True)
    assert ledger.position_ms(700 * MS) == 420


def test_a_word_that_was_cut_counts_as_not_heard() -> None:
    ledger = ledger_of("one two three")
    ledger.add_audio(600, 0)
    ledger.acknowledge(399, 1, final=True)
    assert ledger.heard(1, complete=False).text == "one"
    assert ledger.heard(1, complete=False).remaining == "two three"


def test_all_played_is_all_said_even_after_the_last_word() -> None:
    ledger = ledger_of("One two (quietly).")
    ledger.add_text(" …")
    ledger.add_audio(650, 0)
    assert ledger.heard(700 * MS, complete=True).text == "One two (quietly). …"
    assert ledger.heard(700 * MS, complete=True).remaining == ""


def test_a_position_within_a_frame_of_the_end_is_the_end() -> None:
    ledger = ledger_of("one")
    ledger.add_audio(210.5, 0)
    ledger.acknowledge(200, 1, final=True)
    assert ledger.left_ms(1) == 0


def test_without_word_times_the_share_of_the_audio_is_the_share_of_the_text() -> None:
    ledger = PlayoutLedger()
    ledger.add_text("alpha beta gamma delta")
    ledger.add_audio(1_000, 0)
    ledger.acknowledge(500, 1, final=True)
    assert ledger.heard(1, complete=False).text == "alpha beta"


def test_nothing_sent_is_nothing_heard() -> None:
    ledger = PlayoutLedger()
    ledger.add_text("alpha beta")
    assert ledger.heard(1, complete=False).text == ""
    assert ledger.heard(1, complete=False).remaining == "alpha beta"


def test_a_word_is_heard_when_it_has_reached_the_ear_and_a_straddling_one_is_partial() -> None:
    ledger = ledger_of("one two three four", output_latency_ms=150)
    ledger.add_audio(800, 0)
    ledger.acknowledge(650, 1, final=True)
    heard = ledger.heard(1, complete=False)
    assert (heard.text, heard.remaining, heard.heard_ms) == ("one two", "three four", 500)
    assert [word.heard for word in heard.words] == [
        WordHeard.HEARD,
        WordHeard.HEARD,
        WordHeard.PARTIAL,
        WordHeard.UNHEARD,
    ]
    assert [(word.start_ms, word.end_ms) for word in heard.words[:2]] == [(0, 200), (200, 400)]


def test_words_whose_audio_was_not_sent_are_not_told() -> None:
    ledger = ledger_of("one two three four")
    ledger.add_audio(400, 0)
    assert [word.text for word in ledger.heard(0, complete=False).words] == ["one", "two"]


def test_a_paused_item_goes_on_at_the_start_of_the_interrupted_word_and_what_was_heard_stays_heard() -> None:
    ledger = ledger_of("one two three four")
    ledger.add_audio(800, 0)
    ledger.acknowledge(500, 100 * MS, final=False)
    ledger.freeze(100 * MS)
    assert ledger.position_ms(900 * MS) == 500
    assert ledger.resume(900 * MS) == 400
    assert (ledger.sent_ms, ledger.duration_ms) == (400, 800)
    assert ledger.left_ms(900 * MS) == 0
    assert ledger.heard(900 * MS, complete=False).heard_ms == 500
    ledger.add_audio(400, 900 * MS)
    assert ledger.position_ms(1_000 * MS) == 500
    ledger.acknowledge(700, 1_250 * MS, final=True)
    assert ledger.heard(1_250 * MS, complete=True).text == "one two three"


def test_between_words_and_without_word_times_a_paused_item_goes_on_where_it_stood() -> None:
    ledger = ledger_of("one two")
    ledger.add_audio(400, 0)
    ledger.acknowledge(200, 0, final=False)
    ledger.freeze(0)
    assert ledger.resume(0) == 200
    unknown = PlayoutLedger()
    unknown.add_text("one two")
    unknown.add_audio(400, 0)
    unknown.freeze(130 * MS)
    assert unknown.resume(500 * MS) == 130


def test_a_report_from_before_the_pause_that_comes_late_does_not_lead_the_position_astray() -> None:
    ledger = ledger_of("one two three four")
    ledger.add_audio(800, 0)
    ledger.acknowledge(450, 0, final=False)
    ledger.freeze(0)
    ledger.resume(500 * MS)
    ledger.add_audio(400, 500 * MS)
    ledger.acknowledge(500, 510 * MS, final=False)
    ledger.acknowledge(600, 710 * MS, final=False)
    assert ledger.position_ms(710 * MS) == 600


def test_who_acknowledges_and_then_does_not_for_a_second_stalls_unless_there_is_nothing_to_play() -> None:
    ledger = ledger_of("one two three four")
    ledger.add_audio(800, 0)
    assert not ledger.is_stalled(5_000 * MS)  # has never acknowledged
    ledger.acknowledge(100, 0, final=False)
    assert not ledger.is_stalled(999 * MS)
    assert ledger.is_stalled(1_000 * MS)
    ledger.acknowledge(800, 1_000 * MS, final=False)
    assert not ledger.is_stalled(9_000 * MS)
    ledger.add_audio(400, 9_000 * MS)
    assert not ledger.is_stalled(9_999 * MS)
    assert ledger.is_stalled(10_000 * MS)
    ledger.freeze(10_000 * MS)
    assert not ledger.is_stalled(20_000 * MS)


def test_all_is_played_when_the_client_says_so_or_when_it_stalls_after_the_clock_does() -> None:
    ledger = ledger_of("one two")
    ledger.add_audio(400, 0)
    assert ledger.is_played(400 * MS)
    ledger.acknowledge(100, 100 * MS, final=False)
    assert not ledger.is_played(400 * MS)
    assert ledger.is_played(1_100 * MS)
    ledger.acknowledge(400, 1_100 * MS, final=False)
    assert ledger.is_played(1_100 * MS)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("audio"), st.integers(1, 500)),
        st.tuples(st.just("ack"), st.integers(0, 5_000)),
        st.tuples(st.just("wait"), st.integers(0, 2_000)),
        st.tuples(st.just("freeze"), st.just(0)),
        st.tuples(st.just("resume"), st.just(0)),
    ),
    max_size=30,
)


@given(STEPS, st.booleans())
@example(steps=[("ack", 0), ("audio", 1)], is_final=True)  # all of a millisecond is within the tolerance of none of it
def test_no_more_counts_as_heard_than_the_client_said_and_a_second_and_never_more_than_was_sent(
    steps: list[tuple[str, int]], is_final: bool
) -> None:
    ledger = ledger_of("word " * 40)
    now_us = 0
    reported: tuple[float, int] | None = None
    """The client's position, and when it said so; where playback was resumed counts as said."""
    stands_still_us: int | None = None
    reached_ms = 0.0

    def bound_ms() -> float:
        if reported is None:
            return ledger.sent_ms
        position_ms, at_us = reported
        moving_us = max(0, (now_us if stands_still_us is None else stands_still_us) - at_us)
        return min(ledger.sent_ms, position_ms + min(moving_us / MS, MAX_EXTRAPOLATION_MS))

    for kind, value in steps:
        match kind:
            case "audio":
                ledger.add_audio(value, now_us)
            case "ack":
                ledger.acknowledge(value, now_us, final=False)
                said_ms = min(value + ACK_TOLERANCE_MS, ledger.sent_ms)
                reported = (max(said_ms, reported[0] if reported else 0.0), now_us)
            case "freeze":
                stands_still_us = now_us if stands_still_us is None else stands_still_us
            case "resume":
                reached_ms = max(reached_ms, bound_ms())
                place_ms = ledger.resume(now_us)
                reported, stands_still_us = reported and (place_ms, now_us), None
            case _:
                now_us += value * MS
        if kind == "freeze":
            ledger.freeze(now_us)
    if is_final:
        ledger.acknowledge(0, now_us, final=True)
        said_ms = min(ACK_TOLERANCE_MS, ledger.sent_ms)
        reported = (max(said_ms, reported[0] if reported else 0.0), now_us)
    heard = ledger.heard(now_us, complete=False)
    assert heard.heard_ms <= max(reached_ms, bound_ms())
    assert heard.heard_ms <= ledger.duration_ms
    for word in heard.words:
        assert (word.heard is WordHeard.HEARD) == (word.end_ms <= heard.heard_ms)


@given(STEPS, st.booleans())
def test_the_position_never_passes_what_was_sent_and_the_text_is_never_lost(
    steps: list[tuple[str, int]], complete: bool
) -> None:
    text = "one two three four five six seven eight nine ten"
    ledger = ledger_of(text)
    now_us = 0
    for kind, value in steps:
        match kind:
            case "audio":
                ledger.add_audio(value, now_us)
            case "ack":
                ledger.acknowledge(value, now_us, final=False)
            case "freeze":
                ledger.freeze(now_us)
            case "resume":
                heard_ms = ledger.heard(now_us, complete=False).heard_ms
                assert ledger.resume(now_us) <= heard_ms
                assert ledger.heard(now_us, complete=False).heard_ms == heard_ms
            case _:
                now_us += value * MS
        assert 0 <= ledger.position_ms(now_us) <= ledger.sent_ms
    heard = ledger.heard(now_us, complete=complete)
    assert heard.heard_ms <= ledger.duration_ms
    assert f"{heard.text} {heard.remaining}".strip() == text
