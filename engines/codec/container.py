"""What kind of file some bytes are, by their first bytes alone.

FFmpeg is never asked to guess: it has demuxers for playlists, subtitles and game music, and each is a way in. Bytes
that do not begin like one of the containers below are not audio as far as this server is concerned.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Container(StrEnum):
    """The containers that are read, by the names of FFmpeg's demuxers."""

    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"
    AAC = "aac"
    OGG = "ogg"
    WEBM = "matroska"
    MP4 = "mov"


ACCEPTED_FORMATS: Final = "WAV, FLAC, MP3, Ogg (Opus or Vorbis), WebM, M4A/MP4 and AAC (ADTS)"
"""For messages."""

_ID3_HEADER_BYTES: Final = 10
_ADTS_HEADER_BYTES: Final = 7
_MPEG_HEADER_BYTES: Final = 4


def sniff(data: bytes) -> Container | None:
    """The container that ``data``, a whole file, begins like; ``None`` for anything else."""
    head = data[:12]
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return Container.WAV
    if head[:4] == b"OggS":
        return Container.OGG
    if head[:4] == b"\x1aE\xdf\xa3":  # EBML, RFC 8794
        return Container.WEBM
    if head[4:8] == b"ftyp":  # ISO 14496-12
        return Container.MP4
    # An ID3v2 tag says nothing about what follows it: MP3 mostly, but taggers put it before FLAC and AAC as well.
    tagged = head[:3] == b"ID3"
    start = _id3_end(data) if tagged else 0
    if data[start : start + 4] == b"fLaC":
        return Container.FLAC
    if _is_adts(data, start):
        return Container.AAC
    if tagged or _is_mpeg_audio(data):
        return Container.MP3
    # Frames of a FLAC stream joined in the middle: the sync code of RFC 9639 section 9.1.
    return Container.FLAC if data[:2] in (b"\xff\xf8", b"\xff\xf9") else None


def _id3_end(data: bytes) -> int:
    """Bytes of an ID3v2 tag: its size field holds 7 bits a byte (id3.org, ID3v2.4.0 section 3.1)."""
    size_bytes = 0
    for byte in data[6:_ID3_HEADER_BYTES]:
        size_bytes = size_bytes << 7 | byte & 0x7F
    return _ID3_HEADER_BYTES + size_bytes


def _is_adts(data: bytes, start: int) -> bool:
    """Whether an ADTS frame (ISO 13818-7) is at ``start``, followed by another or by the end.

    The second look matters: an MPEG-2 ADTS header and a bare FLAC frame share their first two bytes.
    """
    header = data[start : start + _ADTS_HEADER_BYTES]
    if len(header) < _ADTS_HEADER_BYTES or header[:2] not in (b"\xff\xf0", b"\xff\xf1", b"\xff\xf8", b"\xff\xf9"):
        return False
    frame_bytes = (header[3] & 0x03) << 11 | header[4] << 3 | header[5] >> 5
    following = data[start + frame_bytes : start + frame_bytes + 2]
    return frame_bytes > _ADTS_HEADER_BYTES and header.startswith(following)


def _is_mpeg_audio(data: bytes) -> bool:
    """Whether ``data`` begins with a legal header of MPEG audio (ISO 11172-3 section 2.4.2.3)."""
    header = int.from_bytes(data[:_MPEG_HEADER_BYTES], "big")
    sync, version, layer = header >> 21, header >> 19 & 0b11, header >> 17 & 0b11
    bit_rate, sample_rate = header >> 12 & 0b1111, header >> 10 & 0b11
    no_version, no_layer, no_bit_rate, no_sample_rate = 0b01, 0b00, 0b1111, 0b11
    return (
        sync == (1 << 11) - 1
        and version != no_version
        and layer != no_layer
        and bit_rate != no_bit_rate
        and sample_rate != no_sample_rate
    )
