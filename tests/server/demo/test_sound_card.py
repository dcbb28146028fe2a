from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.audio import Samples
from server.demo.sound_card import FRAME_MS, Loudspeaker, Microphone

RATE_HZ = 1_000
FRAME_SAMPLES = RATE_HZ * FRAME_MS // 1000

pieces = st.lists(st.integers(min_value=0, max_value=70), max_size=8)


def _counting(lengths: list[int]) -> list[Samples]:
    """Pieces of audio in which every sample has a value of its own, and none is silent."""
    whole = np.arange(1, sum(lengths) + 1, dtype=np.float32)
    return np.split(whole, np.cumsum(lengths)[:-1]) if lengths else []


@given(pieces)
def test_the_loudspeaker_plays_everything_once_and_in_order(lengths: list[int]) -> None:
    loudspeaker = Loudspeaker(RATE_HZ)
    audio = _counting(lengths)
    for piece in audio:
        loudspeaker.push("item_1", piece)
    for _ in range(sum(lengths) // FRAME_SAMPLES + 1):
        loudspeaker.play()
    heard = loudspeaker.heard
    assert np.array_equal(heard[heard > 0], np.arange(1, sum(lengths) + 1))
    assert loudspeaker.played_ms("item_1") == sum(lengths)


@given(pieces, st.integers(min_value=0, max_value=30))
def test_what_is_flushed_and_what_was_played_are_what_was_received(lengths: list[int], frames: int) -> None:
    loudspeaker = Loudspeaker(RATE_HZ)
    for piece in _counting([1, *lengths]):
        loudspeaker.push("item_1", piece)
    positions = [0]
    for _ in range(frames + 1):
        loudspeaker.play()
        positions.append(loudspeaker.played_ms("item_1"))
    assert positions == sorted(positions)
    assert loudspeaker.flush("item_1") == positions[-1]
    loudspeaker.play()
    assert loudspeaker.played_ms("item_1") == positions[-1]
    (playback,) = loudspeaker.playbacks
    assert len(playback.played) == positions[-1]
    assert np.array_equal(
        np.concatenate((playback.played, playback.dropped)), np.arange(1, sum(lengths) + 2, dtype=np.float32)
    )


def test_an_item_goes_on_after_a_gap_and_the_next_follows_it() -> None:
    loudspeaker = Loudspeaker(RATE_HZ)
    loudspeaker.push("item_1", np.ones(FRAME_SAMPLES // 2, np.float32))
    loudspeaker.play()
    loudspeaker.play()
    assert loudspeaker.played_ms("item_1") == FRAME_MS // 2
    loudspeaker.push("item_1", np.ones(FRAME_SAMPLES, np.float32))
    loudspeaker.push("item_2", np.full(FRAME_SAMPLES // 2, 2.0, np.float32))
    loudspeaker.play()
    assert loudspeaker.current == "item_1"
    assert list(loudspeaker.play()) == [2.0] * (FRAME_SAMPLES // 2) + [0.0] * (FRAME_SAMPLES // 2)
    assert loudspeaker.current == "item_2"
    assert [playback.started_ms for playback in loudspeaker.playbacks] == [0, 3 * FRAME_MS]


def test_an_item_flushed_before_it_was_heard_has_position_zero() -> None:
    loudspeaker = Loudspeaker(RATE_HZ)
    assert loudspeaker.flush("item_1") == 0
    assert loudspeaker.playbacks == ()


@given(pieces)
def test_the_microphone_speaks_recordings_and_then_goes_on_in_silence(lengths: list[int]) -> None:
    microphone = Microphone(RATE_HZ)
    for piece in _counting(lengths):
        microphone.speak(piece)
    while microphone.speaking:
        assert len(microphone.capture()) == FRAME_SAMPLES
    silence = microphone.capture()
    assert not silence.any()
    captured = microphone.captured
    assert np.array_equal(captured[: sum(lengths)], np.arange(1, sum(lengths) + 1))
    assert not captured[sum(lengths) :].any()
    assert microphone.now_ms == len(captured) * 1000 // RATE_HZ
