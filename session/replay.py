"""Replay of a decision log: the same core, the same events, and whether it decides the same."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from session.decision_log import DecisionLog, Entry, decoded_actions, encoded_actions
from session.redaction import Redactor
from session.turn import step

DIFFERENCES_KEPT: Final = 100
"""After the first, most follow from it."""


class Difference(Struct, frozen=True, kw_only=True):
    """An event after which the core did not do what it had done."""

    entry: Entry
    replayed: bytes
    """The actions of the replay, as JSON; those of the log are ``entry.actions``."""


class Replay(Struct, frozen=True, kw_only=True):
    """What came of a replay."""

    events: int
    differing: int
    """Events with other actions."""
    differences: tuple[Difference, ...]
    """The first of them."""


def replay(log: DecisionLog) -> Replay:
    """Run the core over a log and compare its actions, byte for byte, with those of the log."""
    state, differing = log.header.state, 0
    differences: list[Difference] = []
    for entry in log.entries:
        state, actions = step(state, entry.event, log.header.settings)
        replayed = bytes(encoded_actions(actions))
        if replayed != bytes(entry.actions):
            differing += 1
            if len(differences) < DIFFERENCES_KEPT:
                differences.append(Difference(entry=entry, replayed=replayed))
    return Replay(events=len(log.entries), differing=differing, differences=tuple(differences))


def redact(log: DecisionLog, redactor: Redactor) -> DecisionLog:
    """The same log without texts. It replays as the log does: to the same actions, without texts.

    Raises:
        SpeechError: ``unsupported_log``.
    """
    header = replace(log.header, redacted=True, state=redactor.redacted(log.header.state))
    entries = [
        replace(
            entry,
            event=redactor.redacted(entry.event),
            actions=encoded_actions([redactor.redacted(action) for action in decoded_actions(entry, log.header)]),
        )
        for entry in log.entries
    ]
    return DecisionLog(header, tuple(entries), log.is_torn)
