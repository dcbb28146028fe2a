"""What the server and a decode worker say to each other, over the worker's stdin and stdout.

The worker says :class:`Ready` once. Then, for each :class:`DecodeRequest` followed by ``input_bytes`` bytes of the
file, it answers with :class:`Decoded` followed by ``samples`` 16-bit samples, or with :class:`Failed`. A message is
four bytes of length, big-endian, and MessagePack.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from engines.codec.container import Container
from schemas.errors import ErrorCode

LENGTH_BYTES: Final = 4
MAX_MESSAGE_BYTES: Final = 65_536
PCM16_BYTES: Final = 2
"""Bytes of one sample of the answer: signed 16-bit little-endian, mono."""


class DecodeRequest(Struct, frozen=True, kw_only=True):
    """One file to decode. ``input_bytes`` bytes follow."""

    container: Container
    input_bytes: int
    sample_rate_hz: int
    """Rate wanted."""
    max_duration_s: float
    """Decoded seconds beyond which to give up."""
    cpu_s: int
    """Seconds of processor time after which the kernel ends the worker."""


class Ready(Struct, frozen=True, tag="ready"):
    """The worker has loaded its libraries, sealed itself and waits."""


class Decoded(Struct, frozen=True, kw_only=True, tag="decoded"):
    """Success. ``samples`` samples follow."""

    samples: int
    peak_rss_bytes: int
    """The most memory the worker ever had resident."""


class Failed(Struct, frozen=True, kw_only=True, tag="failed"):
    """The file is at fault."""

    code: ErrorCode
    message: str
    peak_rss_bytes: int


Reply = Ready | Decoded | Failed

_encoder: Final = msgspec.msgpack.Encoder()
request_decoder: Final = msgspec.msgpack.Decoder(DecodeRequest)
reply_decoder: Final = msgspec.msgpack.Decoder(Reply)


def encode_message(message: DecodeRequest | Reply) -> bytes:
    """A message with its length before it."""
    body = _encoder.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body
