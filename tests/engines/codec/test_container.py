from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.codec.container import Container, sniff

CONTAINERS = {
    "wav": Container.WAV,
    "flac": Container.FLAC,
    "mp3": Container.MP3,
    "opus": Container.OGG,
    "aac": Container.AAC,
    "m4a": Container.MP4,
    "webm": Container.WEBM,
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_accepted_container_is_told_by_its_first_bytes(name: str, small_files: dict[str, bytes]) -> None:
    assert sniff(small_files[name]) is CONTAINERS[name]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"hello, this is a transcript and no audio", "text"),
        (b"<!doctype html><html><body>404</body></html>", "html"),
        (b"PK\x03\x04\x14\x00\x00\x00\x08\x00" + bytes(100), "zip"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(100), "png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(100), "jpeg"),
        (b"%PDF-1.7\n", "pdf"),
        (bytes(1_000), "zeros"),
        (b"\xff" * 1_000, "ones"),
        (b"#EXTM3U\n#EXTINF:10,\nhttp://10.0.0.1/a.ts\n", "playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "concat script"),
        (b"RIFF\x24\x00\x00\x00AVI LIST", "video in RIFF"),
        (b"\xff\xfb", "half a header"),
    ],
)
def test_what_is_not_audio_is_nothing(data: bytes, what: str) -> None:
    assert sniff(data) is None, what


def id3(content: bytes) -> bytes:
    size = len(content)
    return b"ID3\x04\x00\x00" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + content


@pytest.mark.parametrize("name", ["mp3", "flac", "aac"])
def test_a_tag_in_front_does_not_hide_what_follows(name: str, small_files: dict[str, bytes]) -> None:
    assert sniff(id3(bytes(300)) + small_files[name]) is CONTAINERS[name]


def test_a_bare_flac_frame_is_not_taken_for_aac(small_files: dict[str, bytes]) -> None:
    flac = small_files["flac"]
    assert sniff(flac[flac.index(b"\xff\xf8") :]) is Container.FLAC


@given(st.binary(max_size=200))
def test_any_bytes_are_sniffed_without_failing(data: bytes) -> None:
    assert sniff(data) is None or sniff(data) in Container
