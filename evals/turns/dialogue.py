"""Dialogues as data: who says what, with which pauses, and when the user speaks over the agent.

A dialogue is lines of text::

    U: I would like a table / for four people /um/ on Friday evening.
    A: Of course. We have one by the window and one on the terrace.
    U@1.5 backchannel: Uh-huh.
    U@3.0 stop: Wait, stop.

``U:`` is the user's turn, begun when the agent has finished; ``U@1.5 INTENT:`` comes 1.5 s after the agent's line
before it became audible. Between slashes stands a hold, a silence in which the turn is not over: ``/`` has a length
drawn by the seed, ``/0.8/`` lasts 0.8 s, ``/um/`` and ``/um 0.8/`` have a filler in front. What is not speech has its
name for text: ``U@2 cough: cough``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from importlib.resources import files
from typing import Final

from msgspec import Struct


class Split(StrEnum):
    """Calibration is what weights and thresholds may be fitted on; test has other texts and other voices."""

    CALIBRATION = "calibration"
    TEST = "test"


class Intent(StrEnum):
    """What the user means by a sound."""

    TURN = "turn"
    """To say something, when it is their turn."""
    STOP = "stop"
    """To silence the agent: a stop-word or two."""
    INTERRUPT = "interrupt"
    """To take the floor with something to say."""
    BACKCHANNEL = "backchannel"
    """That they listen; the agent is to go on."""
    COUGH = "cough"
    SIDE = "side"
    """Somebody else in the room speaks, to somebody else."""
    NOISE = "noise"

    @property
    def takes_floor(self) -> bool:
        """Whether the agent is to yield."""
        return self in {Intent.TURN, Intent.STOP, Intent.INTERRUPT}

    @property
    def named(self) -> str:
        """As reports name it."""
        return _TITLES.get(self, self.value)


_TITLES: Final = {Intent.STOP: "stop-word", Intent.INTERRUPT: "interruption", Intent.SIDE: "other people"}


class Hold(Struct, frozen=True):
    """A silence within a turn."""

    after_word: int
    """How many words come before it."""
    silence_s: float | None = None
    """``None`` leaves the length to the seed."""
    filler: str = ""
    """Said before the silence."""


class UserLine(Struct, frozen=True, kw_only=True):
    """What the user says or does at one time."""

    text: str
    intent: Intent = Intent.TURN
    holds: tuple[Hold, ...] = ()
    at_s: float | None = None
    """Seconds after the agent's line became audible; ``None`` waits until it is over."""


class AgentLine(Struct, frozen=True, kw_only=True):
    """What the agent says when the user's turn is over."""

    text: str


class Dialogue(Struct, frozen=True, kw_only=True):
    """A script for two."""

    name: str
    split: Split
    language: str
    """ISO 639-1."""
    lines: tuple[UserLine | AgentLine, ...]

    @property
    def has_agent(self) -> bool:
        """Whether anybody answers. If not, its lines have nothing to do with each other."""
        return any(isinstance(line, AgentLine) for line in self.lines)


_LINE: Final = re.compile(r"(?P<who>[UA])(@(?P<at>[\d.]+) (?P<intent>\w+))?: (?P<text>.+)")
_HOLD: Final = re.compile(r"/(?:(?P<filler>[^\W\d][\w']*)?\s*(?P<silence>\d+(?:\.\d+)?)?/)?(?=\s|$)")


def parse(text: str) -> tuple[UserLine | AgentLine, ...]:
    """The lines of a dialogue.

    Raises:
        ValueError: A line is not of the form above; the message has it.
    """
    return tuple(_line(row.strip()) for row in text.splitlines() if row.strip())


def load(split: Split) -> tuple[Dialogue, ...]:
    """The dialogues of a split, of all languages, as they ship."""
    tables = tomllib.loads(files("evals.turns").joinpath("dialogues", f"{split.value}.toml").read_text("utf-8"))
    return tuple(
        Dialogue(name=name, split=split, language=language, lines=parse(text))
        for language, dialogues in tables.items()
        for name, text in dialogues.items()
    )


def _line(row: str) -> UserLine | AgentLine:
    match = _LINE.fullmatch(row)
    if match is None:
        raise ValueError(f"not a line of a dialogue: {row!r}")
    if match["who"] == "A":
        return AgentLine(text=match["text"])
    words, holds = _words_and_holds(match["text"])
    return UserLine(
        text=" ".join(words),
        intent=Intent(match["intent"]) if match["intent"] else Intent.TURN,
        holds=holds,
        at_s=float(match["at"]) if match["at"] else None,
    )


def _words_and_holds(text: str) -> tuple[list[str], tuple[Hold, ...]]:
    words: list[str] = []
    holds: list[Hold] = []
    for piece in _pieces(text):
        if isinstance(piece, str):
            words += piece.split()
            continue
        silence = piece["silence"]
        holds.append(Hold(len(words), float(silence) if silence else None, piece["filler"] or ""))
    if any(hold.after_word in {0, len(words)} for hold in holds):
        raise ValueError(f"a hold is within a turn, not at its edge: {text!r}")
    return words, tuple(holds)


def _pieces(text: str) -> Iterator[str | re.Match[str]]:
    position = 0
    for match in _HOLD.finditer(text):
        yield text[position : match.start()]
        yield match
        position = match.end()
    yield text[position:]
