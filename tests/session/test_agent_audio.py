from __future__ import annotations

import pytest

from schemas.errors import ErrorCode, SpeechError
from schemas.events import SayAudio
from session import agent_audio
from session.agent_audio import AgentAudio

RATE_HZ = 1_000
"""A sample a millisecond."""


def piece(audio: AgentAudio, seq: int, item_id: str, offset_ms: int, pcm: bytes) -> None:
    event = SayAudio(item_id=item_id, epoch=1, offset_ms=offset_ms, duration_ms=len(pcm) // 2)
    audio.keep(seq, event, pcm)


@pytest.fixture
def audio() -> AgentAudio:
    """Two items, taking turns: 10 ms and 5 ms of one, 10 ms of the other between them."""
    audio = AgentAudio()
    piece(audio, 1, "item_1", 0, b"\x01\x00" * 10)
    piece(audio, 4, "item_2", 0, b"\x03\x00" * 10)
    piece(audio, 6, "item_1", 10, b"\x02\x00" * 5)
    return audio


def test_an_item_is_its_pieces_in_a_row(audio: AgentAudio) -> None:
    assert audio.of_item("item_1", RATE_HZ) == b"\x01\x00" * 10 + b"\x02\x00" * 5
    assert audio.of_item("item_2", RATE_HZ) == b"\x03\x00" * 10
    assert audio.of_item("item_3", RATE_HZ) == b""


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "expected"),
    [
        (0, 10, b"\x01\x00" * 10),
        (10, None, b"\x02\x00" * 5),
        (8, 12, b"\x01\x00" * 2 + b"\x02\x00" * 2),
        (12, 8, b""),
        (15, None, b""),
        (0, 10_000, b"\x01\x00" * 10 + b"\x02\x00" * 5),
    ],
)
def test_a_part_of_an_item_is_cut_at_whole_samples(
    audio: AgentAudio, start_ms: int, end_ms: int | None, expected: bytes
) -> None:
    assert audio.of_item("item_1", RATE_HZ, start_ms, end_ms) == expected


def test_a_piece_is_found_by_the_number_of_its_event(audio: AgentAudio) -> None:
    assert audio.piece(4) == b"\x03\x00" * 10
    assert audio.piece(5) is None


def test_what_is_no_longer_kept_is_an_error_that_says_where_to_begin(
    audio: AgentAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_audio, "AUDIO_KEPT_BYTES", 40)
    piece(audio, 9, "item_2", 10, b"\x04\x00" * 5)
    assert audio.piece(1) is None
    with pytest.raises(SpeechError, match="start_ms=10") as caught:
        audio.of_item("item_1", RATE_HZ)
    assert (caught.value.code, caught.value.param) == (ErrorCode.AUDIO_EXPIRED, "start_ms")
    assert audio.of_item("item_1", RATE_HZ, 10) == b"\x02\x00" * 5
    assert audio.of_item("item_1", RATE_HZ, 11, 13) == b"\x02\x00" * 2
    assert len(audio.of_item("item_2", RATE_HZ)) == 30


def test_an_item_that_is_gone_as_a_whole_is_an_error_too(audio: AgentAudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_audio, "AUDIO_KEPT_BYTES", 1)
    piece(audio, 9, "item_3", 0, b"\x04\x00" * 5)
    with pytest.raises(SpeechError, match="start_ms=15"):
        audio.of_item("item_1", RATE_HZ)
    assert audio.of_item("item_3", RATE_HZ) == b"\x04\x00" * 5
