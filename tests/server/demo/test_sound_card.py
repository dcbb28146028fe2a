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


def _push(loudspeaker: Loudspeaker, audio: list[Samples]) -> None:
    place = 0
    for piece in audio:
        loudspeaker.push("item_1", piece, place)  # at 1 kHz a sample is a millisecond
        place += len(piece)


@given(pieces)
def test_the_loudspeaker_plays_everything_once_and_in_order(lengths: list[int]) -> None:
    loudspeaker = Loudspeaker(RATE_HZ)
    _push(loudspeaker, _counting(lengths))
    for _ in range(sum(lengths) // FRAME_SAMPLES + 1):
        loudspeaker.play()
    heard = loudspeaker.heard
    assert np.array_equal(heard[heard > 0], np.arange(1, sum(lengths) + 1))
    assert loudspeaker.played_ms("item_1") == sum(lengths)


@given(pieces, st.integers(min_value=0, max_value=30))
def test_what_is_flushed_and_what_was_played_are_what_was_received(lengths: list[int], frames: int) -> None:
    loudspeaker = Loudspeaker(RATE_HZ)
    _push(loudspeaker, _counting([1, *lengths]))
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
    loudspeaker.push("item_1", np.ones(FRAME_SAMPLES // 2, np.float32), 0)
    loudspeaker.play()
    loudspeaker.play()
    assert loudspeaker.played_ms("item_1") == FRAME_MS // 2
    loudspeaker.push("item_1", np.ones(FRAME_SAMPLES, np.float32), FRAME_MS // 2)
    loudspeaker.push("item_2", np.full(FRAME_SAMPLES // 2, 2.0, np.float32), 0)
    loudspeaker.play()
    assert loudspeaker.current == "item_1"
    assert list(loudspeaker.play()) == [2.0] * (FRAME_SAMPLES // 2) + [0.0] * (FRAME_SAMPLES // 2)
    assert loudspeaker.current == "item_2"
    assert [playback.started_ms for playback in loudspeaker.playbacks] == [0, 3 * FRAME_MS]


def test_a_ducked_item_goes_on_more_quietly_and_a_paused_one_stands_still() -> None:
    loudspeaker = Loudspeaker(RATE_HZ)
    loudspeaker.push("item_1", np.ones(4 * FRAME_SAMPLES, np.float32), 0)
    loudspeaker.duck(-20.0)
    assert np.allclose(loudspeaker.play(), 0.1)
    loudspeaker.pause()
    assert not loudspeaker.play().any()
    assert loudspeaker.played_ms("item_1") == FRAME_MS
    loudspeaker.resume("item_1", None)
    assert np.allclose(loudspeaker.play(), 1.0)


@given(st.integers(min_value=0, max_value=100), st.integers(min_value=0, max_value=100))
def test_a_resumed_item_loses_nothing_wherever_the_server_believed_it_to_be(played_ms: int, position_ms: int) -> None:
    loudspeaker = Loudspeaker(RATE_HZ)
    audio = np.arange(1, 201, dtype=np.float32)
    loudspeaker.push("item_1", audio[:100], 0)
    for _ in range(played_ms // FRAME_MS):
        loudspeaker.play()
    loudspeaker.pause()
    loudspeaker.resume("item_1", position_ms)
    loudspeaker.push("item_1", audio[position_ms:], position_ms)
    for _ in range(20):
        loudspeaker.play()
    heard = loudspeaker.heard
    assert set(heard[heard > 0]) == set(audio)
    assert loudspeaker.played_ms("item_1") == 200
    (repeated,) = (sum(heard > 0) - 200,)
    assert repeated == max(0, played_ms // FRAME_MS * FRAME_MS - position_ms)


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
