"""Text chunker: a stream of text in, pieces a voice can speak well out.

A language model writes token by token; a voice sounds right sentence by sentence. The chunker cuts after sentences,
and only where the next character proves that the sentence is over: never inside ``3.14``, after ``Dr.`` or within
``U.S. Army``. A text without an end is cut at a clause or a space, so that its length stays bounded.

Sans-I/O. The pieces, joined, are the text; and they do not depend on how the text was split when it came in.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

MAX_CHUNK_CHARS: Final = 240
"""About 15 s of speech: what the voices were trained on, and the most that waits for one synthesis."""
SENTENCE_END: Final = frozenset(".!?…")
WIDE_SENTENCE_END: Final = frozenset("。！？；")
"""Ends of sentences in scripts that put no space after them."""
WIDE_CLAUSE_END: Final = frozenset("、，：；")
"""The same of clauses."""
CLOSERS: Final = frozenset("\"'”’)]}»")
WIDE_CLOSERS: Final = frozenset("”’」』）】》〉")
CLAUSE_END: Final = frozenset(",;:、，—–")
ABBREVIATIONS: Final = frozenset(
    # English, German, Spanish, French, Portuguese, Italian; compared in lower case, without the last point
    "dr mr mrs ms prof st jr sr vs etc e.g i.e approx fig vol ed est inc ltd co dept gen col sgt capt rev hon "
    "ave blvd rd mt "
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun "
    "bzw ca d.h evtl ggf hr fr inkl mio mrd nr std str u.a usw z.b zb "
    "sra srta ud uds av avda ctra pza plza ee uu núm pág ej p.ej aprox "
    "mme mlle mgr env ex p.ex "
    "dra exmo exma "
    "dott sig ecc".split()
)


NUMBERED: Final = frozenset({"no", "pp"})
"""Words that are abbreviations before a number alone: No. 5."""


class TextChunk(Struct, frozen=True):
    """A piece to be spoken as one utterance."""

    text: str
    """As it stands in the source, with the white space after it."""
    start: int
    """Offset of its first character in all the text pushed so far."""


class TextChunker:
    """Cuts one item's text as it streams in."""

    def __init__(self, max_chars: int = MAX_CHUNK_CHARS) -> None:
        self._max_chars = max_chars
        self._pending = ""
        self._start = 0

    def push(self, text: str) -> list[TextChunk]:
        """Add text; return the pieces that are complete by now."""
        self._pending += text
        chunks: list[TextChunk] = []
        while (end := _next_cut(self._pending, self._max_chars)) is not None:
            chunks.append(self._take(end))
        return chunks

    def finish(self) -> list[TextChunk]:
        """No more text comes; return what is left."""
        return [self._take(len(self._pending))] if self._pending else []

    def _take(self, end: int) -> TextChunk:
        chunk = TextChunk(self._pending[:end], self._start)
        self._pending = self._pending[end:]
        self._start += end
        return chunk


def _next_cut(text: str, max_chars: int) -> int | None:
    """Where the first piece of ``text`` ends, or ``None`` while that cannot be known."""
    for index, char in enumerate(text[:max_chars]):
        if char == "\n":
            end = index + 1
        elif char in WIDE_SENTENCE_END:
            end = _skip(text, index + 1, max_chars, WIDE_CLOSERS | WIDE_SENTENCE_END)
        elif char in SENTENCE_END and not _is_abbreviation(text, index):
            end = _skip(text, index + 1, max_chars, CLOSERS | SENTENCE_END)
            if end < len(text) and not text[end].isspace():
                continue
        else:
            continue
        cut = _skip(text, end, max_chars)
        if cut == len(text):
            return None  # what follows the space decides, whatever pieces the text came in
        if text[:cut].strip():
            return cut
    return _forced_cut(text[:max_chars]) if len(text) > max_chars else None


def _skip(text: str, index: int, limit: int, chars: frozenset[str] | None = None) -> int:
    """The first position from ``index`` that holds none of ``chars`` (of white space), at most ``limit``."""
    end = min(limit, len(text))
    while index < end and (text[index] in chars if chars is not None else text[index].isspace()):
        index += 1
    return index


def _is_abbreviation(text: str, index: int) -> bool:
    """Whether the point at ``index`` belongs to its word: ``Dr.``, ``e.g.``, an initial, an ordinal like ``3.``."""
    if text[index] != ".":
        return False
    begin = index
    while begin > 0 and (text[begin - 1].isalnum() or text[begin - 1] == "."):
        begin -= 1
    word = text[begin:index]
    is_initial = len(word) == 1 and word.isalpha() and word != "I"
    is_ordinal = word.isdigit() and len(word) <= 2  # noqa: PLR2004 - days and ranks, not years
    is_acronym = "." in word and all(len(part) == 1 for part in word.split("."))
    is_number = word.lower() in NUMBERED and text[index + 1 :].lstrip()[:1].isdecimal()
    is_known = word.lower() in ABBREVIATIONS or word.lower().endswith("str")  # Hauptstr.
    return is_initial or is_ordinal or is_acronym or is_number or is_known


def _forced_cut(window: str) -> int:
    """A cut within ``window``: behind a clause in its second half, else at a space, else at its end."""
    spaces = [index for index in range(1, len(window)) if window[index].isspace() and window[:index].strip()]
    clauses = [index for index in spaces if window[index - 1] in CLAUSE_END and index > len(window) // 2]
    clauses += [index for index in range(len(window) // 2, len(window)) if window[index] in WIDE_CLAUSE_END]
    clauses.sort()
    return (clauses or spaces or [len(window) - 1])[-1] + 1
