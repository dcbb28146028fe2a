from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.pieces import DEFAULT_CUTTING, MAX_PIECE_FRAMES, Cut, Cutting, next_piece

PAD = 12
LONG_PAUSE = 94


def scores(*runs: tuple[int, float]) -> NDArray[np.float32]:
    return np.concatenate([np.full(frames, score, np.float32) for frames, score in runs])


def pieces(heard: NDArray[np.float32], cutting: Cutting = DEFAULT_CUTTING) -> list[tuple[int, int]]:
    """All pieces of a recording, in frames of it."""
    found: list[tuple[int, int]] = []
    begin = 0
    while begin < len(heard):
        cut = next_piece(heard[begin:], is_end=True, cutting=cutting)
        assert cut is not None
        assert 0 <= cut.start <= cut.end <= cut.resume
        assert cut.resume > 0
        if cut.end > cut.start:
            found.append((begin + cut.start, begin + cut.end))
        begin += cut.resume
    return found


def test_speech_is_cut_out_of_silence_with_a_little_around_it() -> None:
    assert pieces(scores((100, 0.0), (50, 0.9), (80, 0.0))) == [(100 - PAD, 150 + PAD)]


def test_short_pauses_stay_inside_a_piece() -> None:
    assert pieces(scores((20, 0.9), (LONG_PAUSE - 1, 0.1), (20, 0.9))) == [(0, 40 + LONG_PAUSE - 1)]


def test_a_long_pause_is_left_out() -> None:
    assert pieces(scores((20, 0.9), (200, 0.1), (20, 0.9))) == [(0, 20 + PAD), (220 - PAD, 240)]


def test_speech_that_does_not_fit_is_cut_in_the_middle_of_its_longest_late_pause() -> None:
    heard = scores((300, 0.9), (60, 0.0), (240, 0.9), (10, 0.0), (100, 0.9), (30, 0.0), (600, 0.9))
    assert pieces(heard) == [(0, 725), (740 - PAD, len(heard))]


def test_a_pause_at_the_end_of_the_window_counts_as_far_as_it_is_seen() -> None:
    heard = scores((900, 0.9), (60, 0.0), (300, 0.9))
    assert pieces(heard) == [(0, 919), (960 - PAD, len(heard))]


def test_speech_without_a_pause_is_cut_where_it_is_quietest() -> None:
    heard = scores((800, 0.9), (1, 0.6), (500, 0.9))
    assert pieces(heard) == [(0, 800), (800, 1_301)]


def test_a_shorter_pause_ends_a_piece_if_asked_for() -> None:
    heard = scores((40, 0.9), (20, 0.1), (3, 0.9), (20, 0.1), (40, 0.9))
    assert pieces(heard) == [(0, len(heard))]
    cutting = Cutting(pause_ms=500, lead_ms=96)
    # The middle one is as short as a click, but not alone in a long silence.
    assert pieces(heard, cutting) == [(0, 50), (57, 73), (80, 123)]


def test_what_is_left_of_a_pause_is_shared_out_between_the_pieces_beside_it() -> None:
    heard = scores((40, 0.9), (10, 0.1), (40, 0.9))
    assert pieces(heard, Cutting(pause_ms=200)) == [(0, 45), (45, 90)]


def test_a_higher_threshold_takes_less_for_speech() -> None:
    heard = scores((100, 0.3), (20, 0.6), (100, 0.3), (20, 0.9), (100, 0.3))
    assert pieces(heard, Cutting(lead_ms=0)) == [(100, 120 + PAD), (220, 240 + PAD)]
    assert pieces(heard, Cutting(lead_ms=0, threshold=0.8)) == [(220, 240 + PAD)]
    assert pieces(heard, Cutting(lead_ms=320, threshold=0.8)) == [(210, 240 + PAD)]


def test_silence_has_no_pieces() -> None:
    assert pieces(scores((500, 0.2))) == []


def test_a_click_in_silence_is_no_speech_and_a_short_word_is() -> None:
    assert pieces(scores((200, 0.0), (4, 0.9), (200, 0.0), (4, 0.9), (200, 0.0))) == []
    assert pieces(scores((200, 0.0), (5, 0.9), (200, 0.0))) == [(200 - PAD, 205 + PAD)]


def test_the_end_of_a_word_that_was_cut_is_no_click() -> None:
    assert pieces(scores((935, 0.9), (1, 0.6), (3, 0.9), (200, 0.0))) == [(0, 935), (935, 939 + PAD)]


def test_a_cut_waits_until_it_is_clear() -> None:
    assert next_piece(scores((MAX_PIECE_FRAMES - 1, 0.9)), is_end=False) is None
    assert next_piece(scores((PAD, 0.0)), is_end=False) is None
    assert next_piece(scores((0, 0.0)), is_end=False) is None


def test_silence_is_done_with_except_for_what_may_begin_softly() -> None:
    assert next_piece(scores((100, 0.0)), is_end=False) == Cut(100 - PAD, 100 - PAD, 100 - PAD)


@pytest.mark.parametrize("is_end", [True, False])
def test_a_full_window_is_cut_whether_or_not_more_is_known(is_end: bool) -> None:
    cut = next_piece(scores((700, 0.9), (20, 0.0), (MAX_PIECE_FRAMES - 700, 0.9)), is_end=is_end)
    assert cut == Cut(0, 710, 710)


runs = st.lists(st.tuples(st.integers(5, 1_500), st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0])), min_size=1, max_size=12)


@given(runs)
def test_no_speech_is_lost_or_heard_twice_and_every_piece_fits(parts: list[tuple[int, float]]) -> None:
    heard = scores(*parts)
    found = pieces(heard)
    inside = np.zeros(len(heard), int)
    for start, end in found:
        assert end - start <= MAX_PIECE_FRAMES
        inside[start:end] += 1
    assert inside.max() <= 1
    assert inside[heard >= 0.5].all()


@given(runs, st.integers(0, 3_000))
def test_what_is_cut_early_is_cut_the_same_with_all_scores_at_hand(parts: list[tuple[int, float]], known: int) -> None:
    heard = scores(*parts)
    early = next_piece(heard[:known], is_end=False)
    if early is not None and early.end > early.start:
        assert next_piece(heard, is_end=True) == early
