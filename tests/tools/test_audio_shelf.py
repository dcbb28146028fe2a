from __future__ import annotations

import pytest

from schemas.errors import ErrorCode, SpeechError
from tools import audio_shelf
from tools.audio_shelf import AudioShelf


def test_a_file_comes_back_by_its_id() -> None:
    shelf = AudioShelf()
    first, second = shelf.put("us", b"one", "audio/wav"), shelf.put("us", b"two", "audio/mpeg")
    assert first.audio_id != second.audio_id
    assert shelf.get("us", second.audio_id).data == b"two"
    assert shelf.get("us", first.audio_id).content_type == "audio/wav"


def test_an_unknown_id_is_told_apart_from_nothing_but_what_is_gone() -> None:
    with pytest.raises(SpeechError, match="or no more") as caught:
        AudioShelf().get("us", "aud_nonesuch")
    assert caught.value.code is ErrorCode.AUDIO_EXPIRED


def test_the_oldest_go_when_the_shelf_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_shelf, "SHELF_BYTES", 10)
    shelf = AudioShelf()
    files = [shelf.put("us", bytes(4), "audio/wav") for _ in range(3)]
    assert shelf.get("us", files[2].audio_id)
    assert shelf.get("us", files[1].audio_id)
    with pytest.raises(SpeechError):
        shelf.get("us", files[0].audio_id)


def test_who_has_the_most_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_shelf, "SHELF_BYTES", 10)
    shelf = AudioShelf()
    ours = shelf.put("us", bytes(3), "audio/wav")
    theirs = [shelf.put("them", bytes(3), "audio/wav") for _ in range(5)]
    assert shelf.get("us", ours.audio_id)
    assert shelf.get("them", theirs[-1].audio_id)
    assert shelf.get("them", theirs[-2].audio_id)
    with pytest.raises(SpeechError):
        shelf.get("them", theirs[-3].audio_id)


def test_what_is_larger_than_the_shelf_is_refused_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_shelf, "SHELF_BYTES", 10)
    with pytest.raises(SpeechError, match="such as mp3") as caught:
        AudioShelf().put("us", bytes(11), "audio/wav")
    assert (caught.value.code, caught.value.param) == (ErrorCode.AUDIO_TOO_LONG, "audio_as")


def test_what_is_another_tenants_looks_as_if_it_were_not_there() -> None:
    shelf = AudioShelf()
    file = shelf.put("us", b"one", "audio/wav")
    with pytest.raises(SpeechError):
        shelf.get("them", file.audio_id)
