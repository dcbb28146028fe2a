from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.sessions import HeardSource
from schemas.speech import SpokenWord
from session.playout import PlayoutLedger

MS = 1_000


def ledger_of(text: str, word_ms: int = 200) -> PlayoutLedger:
    """Each word takes ``word_ms`` of audio."""
    ledger = PlayoutLedger()
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


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("audio"), st.integers(1, 500)),
        st.tuples(st.just("ack"), st.integers(0, 5_000)),
        st.tuples(st.just("wait"), st.integers(0, 2_000)),
        st.tuples(st.just("freeze"), st.just(0)),
    ),
    max_size=30,
)


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
            case _:
                now_us += value * MS
        assert 0 <= ledger.position_ms(now_us) <= ledger.sent_ms
    heard = ledger.heard(now_us, complete=complete)
    assert f"{heard.text} {heard.remaining}".strip() == text
