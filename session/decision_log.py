"""The decision log: all that a session's turn core was told and what it decided, as JSON lines that can be replayed.

A file begins with a :class:`Header` and goes on with an :class:`Entry` an event. Since the core is a pure function of
its state, an event and the settings, header and events alone give every action again, byte for byte
(:mod:`session.replay`). A long log comes in parts, each of which begins with the core's state.

Sans-I/O: bytes in, values out, and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec
from msgspec import Raw, Struct

from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind
from schemas.sessions import TurnSettings
from session.turn_actions import TurnAction
from session.turn_events import TurnEvent
from session.turn_state import TurnState

FORMAT: Final = 1
"""Of the lines. What events, actions and settings there are is not part of it: what is unknown is an error."""


class ModelUsed(Struct, frozen=True, kw_only=True):
    """A model whose answers are among the events."""

    kind: ModelKind
    name: str
    fingerprint: str
    """See :attr:`schemas.models.ModelStatus.fingerprint`."""


class Header(Struct, frozen=True, kw_only=True, tag_field="type", tag="antiphon.decisions", forbid_unknown_fields=True):
    """The first line."""

    format: int = FORMAT
    antiphon: str
    """Version of the program that wrote it."""
    session_id: str
    part: int = 1
    redacted: bool
    """Whether hashes stand where texts were."""
    models: tuple[ModelUsed, ...] = ()
    settings: TurnSettings
    state: TurnState = TurnState()
    """Of the core, before the first event."""


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Any other line: an event, and what the core did about it."""

    seq: int
    """Counts from 1 in each session, without gaps inside a part."""
    t: int
    """The session's clock before the event: samples received."""
    us: int
    """The machine's monotonic clock, in microseconds since the session was opened."""
    event: TurnEvent
    actions: Raw
    """Their JSON, as it was written."""


class DecisionLog(Struct, frozen=True):
    """A log that was read."""

    header: Header
    entries: tuple[Entry, ...]
    is_torn: bool = False
    """Whether the last line was cut off, as a process that is killed leaves it; it is not among the entries."""


class _AnyHeader(Struct, frozen=True):
    type: str
    format: int
    antiphon: str


_encoder: Final = msgspec.json.Encoder()
_entries: Final = msgspec.json.Decoder(Entry)
_actions: Final = msgspec.json.Decoder(tuple[TurnAction, ...])


def header_line(header: Header) -> bytes:
    """The first line of a file."""
    return _encoder.encode(header) + b"\n"


def entry_line(entry: Entry) -> bytes:
    """One more line."""
    return _encoder.encode(entry) + b"\n"


def encoded_actions(actions: Sequence[TurnAction]) -> Raw:
    """Actions as an entry holds them. The same actions are always the same bytes."""
    return Raw(_encoder.encode(actions))


def decoded_actions(entry: Entry, header: Header) -> tuple[TurnAction, ...]:
    """The actions of an entry.

    Raises:
        SpeechError: ``unsupported_log`` for those that this version does not know.
    """
    try:
        return _actions.decode(entry.actions)
    except msgspec.ValidationError as error:
        raise _unsupported(header.antiphon, f"Event {entry.seq}", error) from error


def written_decision_log(log: DecisionLog) -> bytes:
    """A log as a file."""
    return header_line(log.header) + b"".join(map(entry_line, log.entries))


def read_decision_log(content: bytes) -> DecisionLog:
    """Read a file.

    Raises:
        SpeechError: ``invalid_log`` if this is no decision log, or lines are missing or broken; ``unsupported_log`` if
            another version wrote it, in a form or with events that this one does not know.
    """
    first, *lines = content.split(b"\n")
    is_torn = bool(lines and lines.pop())
    header = _header(first)
    entries = tuple(_entry(line, number, header) for number, line in enumerate(lines, 2))
    for number, (entry, following) in enumerate(pairwise(entries), 3):
        if following.seq != entry.seq + 1:
            raise SpeechError(
                ErrorCode.INVALID_LOG,
                f"Line {number} has event {following.seq} after event {entry.seq}: what is between is missing.",
            )
    return DecisionLog(header, entries, is_torn)


def _header(line: bytes) -> Header:
    try:
        found = msgspec.json.decode(line, type=_AnyHeader)
    except msgspec.DecodeError:
        found = None
    if found is None or found.type != Header.__struct_config__.tag:
        raise SpeechError(
            ErrorCode.INVALID_LOG,
            "This is not a decision log: its first line is no header. Servers write them when decision_log.dir is set.",
        )
    if found.format != FORMAT:
        raise SpeechError(
            ErrorCode.UNSUPPORTED_LOG,
            f"This log has format {found.format}, of Antiphon {found.antiphon}; this version reads {FORMAT}. "
            f"Replay it with Antiphon {found.antiphon}.",
        )
    try:
        return msgspec.json.decode(line, type=Header)
    except msgspec.ValidationError as error:
        raise _unsupported(found.antiphon, "Line 1", error) from error


def _entry(line: bytes, number: int, header: Header) -> Entry:
    try:
        return _entries.decode(line)
    except msgspec.ValidationError as error:
        raise _unsupported(header.antiphon, f"Line {number}", error) from error
    except msgspec.DecodeError as error:
        raise SpeechError(ErrorCode.INVALID_LOG, f"Line {number} of this log is broken: {error}.") from error


def _unsupported(version: str, where: str, error: msgspec.ValidationError) -> SpeechError:
    return SpeechError(
        ErrorCode.UNSUPPORTED_LOG,
        f"{where} of this log is nothing that this version knows: {error}. Antiphon {version} wrote it: replay it with "
        "that one.",
    )
