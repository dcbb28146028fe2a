"""A small part of SSML, the Speech Synthesis Markup Language (https://www.w3.org/TR/speech-synthesis11/).

The parser is expat. A document type, and with it every entity but XML's five, is refused, so nothing expands and
nothing is fetched; depth is bounded here, length by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from xml.parsers import expat

from msgspec import Struct

from engines.text.lexicon import check_ipa
from engines.text.mapped import Edit, MappedText
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import MAX_SPEED, MIN_SPEED

MAX_DEPTH: Final = 16
MAX_BREAK_MS: Final = 10_000
MAX_BREAKS_MS: Final = 60_000
"""Of all breaks of a text: silence is made in no time, and must not fill the memory."""
PARAGRAPH_MS: Final = 500

_STRENGTHS_MS: Final = {"none": 0, "x-weak": 100, "weak": 250, "medium": 500, "strong": 750, "x-strong": 1_000}
"""The recommendation leaves them to the engine; the last four are about the pauses after a clause, a sentence, a
paragraph and a section."""
_RATES: Final = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.5}
_SAY_AS: Final = (
    "cardinal",
    "characters",
    "currency",
    "date",
    "digits",
    "ordinal",
    "spell-out",
    "telephone",
    "time",
)
_ATTRIBUTES: Final[Mapping[str, frozenset[str]]] = {
    "speak": frozenset({"version", "xmlns", "xml:lang"}),
    "p": frozenset({"xml:lang"}),
    "s": frozenset({"xml:lang"}),
    "break": frozenset({"time", "strength"}),
    "prosody": frozenset({"rate"}),
    "phoneme": frozenset({"alphabet", "ph"}),
    "say-as": frozenset({"interpret-as", "format"}),
    "sub": frozenset({"alias"}),
}
_INLINE: Final = frozenset({"phoneme", "say-as", "sub"})
"""Elements with plain text in them and no element."""


class SayAs(Struct, frozen=True):
    """A stretch of text that is of a known kind."""

    start: int
    end: int
    kind: str
    form: str


class Passage(Struct, frozen=True):
    """Text to be spoken at one rate, without a break."""

    text: MappedText
    """The characters of the document that are text."""
    edits: tuple[Edit, ...]
    """What ``phoneme`` and ``sub`` say of it."""
    say_as: tuple[SayAs, ...]
    rate: float


class Break(Struct, frozen=True):
    """Silence."""

    duration_ms: int


def parse(source: str) -> list[Passage | Break]:
    """The passages and breaks of a document.

    Raises:
        SpeechError: ``invalid_request`` if it is not well-formed, or has what is not supported here.
    """
    return _Reader(source).read()


def text_of(source: str) -> str:
    """The words of a document, or of its beginning, without its marks."""
    plain = re.sub(r"<[^>]*>", "", source)
    for entity, char in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&")):
        plain = plain.replace(entity, char)
    return " ".join(plain.split())


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._data = source.encode("utf-8", "replace")
        self._place = (0, 0)
        """A byte of the data, and the character of the source that begins there."""
        self._parser: Any = expat.ParserCreate("utf-8")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._open: list[tuple[str, dict[str, str], int]] = []
        """Elements, and where in the passage each began."""
        self._rates: list[float] = [1.0]
        self._parts: list[Passage | Break] = []
        self._breaks_ms = 0
        self._paragraph_ended = False
        self._begin_passage()

    def read(self) -> list[Passage | Break]:
        try:
            self._parser.Parse(self._data, True)  # noqa: FBT003 (expat's signature)
        except expat.ExpatError as error:
            raise _refused(
                f"The SSML is not well-formed: {expat.ErrorString(error.code)} in line {error.lineno}, "
                f"column {error.offset + 1}. Write & as &amp; and < as &lt;"
            ) from None
        self._end_passage()
        return self._parts

    def _doctype(self, *_: object) -> None:
        raise _refused("SSML is taken without a document type.")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._check_place(name)
        self._check_attributes(name, attributes)
        match name:
            case "break":
                self._end_passage()
                self._pause(_duration_ms(attributes))
            case "p" | "s":
                self._end_passage()
            case "prosody":
                self._end_passage()
                self._rates.append(self._rates[-1] * _rate(attributes))
            case _:
                pass
        self._open.append((name, attributes, len(self._text)))

    def _check_place(self, name: str) -> None:
        if name not in _ATTRIBUTES:
            supported = ", ".join(_ATTRIBUTES)
            raise _refused(f"The SSML element <{name[:32]}> is not supported; there are: {supported}.")
        if not self._open and name != "speak":
            raise _refused(f"SSML begins with <speak>, not with <{name}>.")
        if self._open and (name == "speak" or self._open[-1][0] in _INLINE | {"break"}):
            raise _refused(f"The SSML element <{name}> cannot stand in <{self._open[-1][0]}>.")
        if len(self._open) >= MAX_DEPTH:
            raise _refused(f"The SSML is more than {MAX_DEPTH} elements deep.")

    def _check_attributes(self, name: str, attributes: dict[str, str]) -> None:
        if strange := sorted(set(attributes) - _ATTRIBUTES[name]):
            known = ", ".join(sorted(_ATTRIBUTES[name]))
            raise _refused(f"The attribute {strange[0][:32]} of <{name}> is not supported; there are: {known}.")
        match name:
            case "say-as" if attributes.get("interpret-as") not in _SAY_AS:
                raise _refused(f"The interpret-as of <say-as> is one of: {', '.join(_SAY_AS)}.")
            case "phoneme":
                if attributes.get("alphabet", "ipa") != "ipa":
                    raise _refused('The alphabet of <phoneme> is "ipa".')
                check_ipa(attributes.get("ph", ""), "text")
            case "sub" if not attributes.get("alias", "").strip():
                raise _refused("<sub> needs an alias: the words to say instead.")
            case _:
                pass

    def _end(self, name: str) -> None:
        _, attributes, start = self._open.pop()
        end = len(self._text)
        if name in _INLINE and "".join(self._text[start:end]).strip():
            written = "".join(self._text[start:end])
            start += len(written) - len(written.lstrip())
            end -= len(written) - len(written.rstrip())
            written = written.strip()
            if name == "say-as":
                self._say_as.append(SayAs(start, end, attributes["interpret-as"], attributes.get("format", "")))
            else:
                said = attributes["alias"] if name == "sub" else written
                self._edits.append(Edit(start, end, said, attributes.get("ph")))
        elif name in {"p", "s", "prosody"}:
            self._end_passage()
            if name == "prosody":
                self._rates.pop()
            self._paragraph_ended |= name == "p"

    def _characters(self, text: str) -> None:
        if self._open and self._open[-1][0] == "break":
            raise _refused("<break> has nothing in it.")
        start = self._character(self._parser.CurrentByteIndex)
        if self._source[start] == "&":  # an entity: one character, which stands for all of it
            end = self._source.index(";", start) + 1
            self._text.append(text)
            self._starts.append(start)
            self._ends.append(end)
        else:
            self._text.extend(text)
            self._starts.extend(range(start, start + len(text)))
            self._ends.extend(range(start + 1, start + len(text) + 1))

    def _character(self, byte: int) -> int:
        """The character of the source that begins at a byte of the data; asked for in order."""
        known_byte, known = self._place
        known += len(self._data[known_byte:byte].decode())
        self._place = (byte, known)
        return known

    def _begin_passage(self) -> None:
        self._text: list[str] = []
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._edits: list[Edit] = []
        self._say_as: list[SayAs] = []

    def _end_passage(self) -> None:
        if any(not char.isspace() for char in self._text):
            if self._paragraph_ended:
                self._pause(PARAGRAPH_MS)
                self._paragraph_ended = False
            text = MappedText(
                "".join(self._text), tuple(self._starts), tuple(self._ends), self._starts[0], self._ends[-1]
            )
            rate = min(max(self._rates[-1], MIN_SPEED), MAX_SPEED)
            self._parts.append(Passage(text, tuple(self._edits), tuple(self._say_as), rate))
        self._begin_passage()

    def _pause(self, duration_ms: int) -> None:
        self._breaks_ms += duration_ms
        if self._breaks_ms > MAX_BREAKS_MS:
            raise _refused(f"The breaks of a text last {MAX_BREAKS_MS // 1000} s at most, all in all.")
        if duration_ms:
            self._parts.append(Break(duration_ms))


def _duration_ms(attributes: Mapping[str, str]) -> int:
    if "time" in attributes:
        match = re.fullmatch(r"\+?(\d{1,6}(?:\.\d{1,3})?)(ms|s)", attributes["time"].strip())
        duration_ms = float(match[1]) * (1000 if match[2] == "s" else 1) if match else MAX_BREAK_MS + 1
        if duration_ms > MAX_BREAK_MS:
            raise _refused(f"The time of <break> is written as 500ms or 1.5s, {MAX_BREAK_MS // 1000}s at most.")
        return round(duration_ms)
    strength = attributes.get("strength", "medium")
    if strength not in _STRENGTHS_MS:
        raise _refused(f"The strength of <break> is one of: {', '.join(_STRENGTHS_MS)}.")
    return _STRENGTHS_MS[strength]


def _rate(attributes: Mapping[str, str]) -> float:
    text = attributes.get("rate", "").strip()
    if text in _RATES:
        return _RATES[text]
    match = re.fullmatch(r"([+-]?)(\d{1,3}(?:\.\d{1,2})?)%", text)
    rate = float(match[2]) / 100 if match else 0.0
    if match and match[1]:
        rate = 1 + rate if match[1] == "+" else 1 - rate
    if not MIN_SPEED <= rate <= MAX_SPEED:
        raise _refused(
            f"The rate of <prosody> is one of {', '.join(_RATES)}, or a percentage from {MIN_SPEED:.0%} to "
            f"{MAX_SPEED:.0%}, or a change such as +20%."
        )
    return rate


def _refused(message: str) -> SpeechError:
    return SpeechError(ErrorCode.INVALID_REQUEST, message, param="text")
