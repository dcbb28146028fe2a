"""A text on its way to the voice that remembers where in the source each of its characters came from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Self

from msgspec import Struct

UNSPACED: Final = "\u3001-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003ffff"
"""As in a set of a regular expression: what Chinese and Japanese are written with, without spaces between words."""
_WORD: Final = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")


class Edit(Struct, frozen=True):
    """A stretch of a text, never empty, and what stands there instead."""

    start: int
    end: int
    text: str
    ipa: str | None = None
    """How it is pronounced, if not as it is written."""


class WordGroup(Struct, frozen=True):
    """Words that are spoken for one stretch of the source, as ``twelve dollars`` is for ``$12``."""

    start: int
    """Offset of the first one's first character in the spoken text."""
    last_start: int
    """The same of the last one."""
    source_start: int
    source_end: int


class MappedText(Struct, frozen=True):
    """A text, and for each character the span of the source that it stands for. Both ends never run backwards."""

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    source_start: int
    """The part of the source that the whole text stands for."""
    source_end: int

    @classmethod
    def of(cls, text: str, offset: int = 0) -> Self:
        """A stretch of the source as it is; ``offset`` is where it begins."""
        end = offset + len(text)
        return cls(text, tuple(range(offset, end)), tuple(range(offset + 1, end + 1)), offset, end)

    def rewrite(self, edits: Sequence[Edit]) -> Self:
        """The text after edits, which are in order and do not overlap. New text stands for all that it replaces."""
        text: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        done = 0
        for edit in (*edits, Edit(len(self.text), len(self.text), "")):
            text += (self.text[done : edit.start], edit.text)
            starts += self.starts[done : edit.start]
            ends += self.ends[done : edit.start]
            if edit.text:
                starts += [self.starts[edit.start]] * len(edit.text)
                ends += [self.ends[edit.end - 1]] * len(edit.text)
            done = edit.end
        return type(self)("".join(text), tuple(starts), tuple(ends), self.source_start, self.source_end)

    def cut(self, start: int, end: int) -> Self:
        """A stretch of the text."""
        starts, ends = self.starts[start:end], self.ends[start:end]
        return type(self)(self.text[start:end], starts, ends, starts[0], ends[-1])

    def source_of(self, start: int, end: int) -> tuple[int, int]:
        """The span of the source for a span of the text, never empty: with what was left out on either side of it."""
        before = self.ends[start - 1] if start else self.source_start
        after = self.starts[end] if end < len(self.text) else self.source_end
        return min(self.starts[start], before), max(self.ends[end - 1], after)

    def groups(self) -> list[WordGroup]:
        """The words, between white space, and single characters of scripts without it.

        Those whose spans of the source overlap are together.
        """
        groups: list[WordGroup] = []
        for match in _WORD.finditer(self.text):
            source_start, source_end = self.source_of(match.start(), match.end())
            if groups and source_start < groups[-1].source_end:
                source_end = max(source_end, groups[-1].source_end)
                groups[-1] = WordGroup(groups[-1].start, match.start(), groups[-1].source_start, source_end)
            else:
                groups.append(WordGroup(match.start(), match.start(), source_start, source_end))
        return groups


def without_overlaps(preferred: Sequence[Edit], others: Sequence[Edit]) -> list[Edit]:
    """All preferred edits, and of the others, first come first served, those that overlap none; in order."""
    taken = list(preferred)
    for edit in others:
        if all(edit.end <= other.start or other.end <= edit.start for other in taken):
            taken.append(edit)
    return sorted(taken, key=lambda edit: edit.start)


def places(edits: Sequence[Edit]) -> list[tuple[int, int]]:
    """Where the new texts of edits that are in order stand afterwards."""
    found: list[tuple[int, int]] = []
    shift = 0
    for edit in edits:
        found.append((edit.start + shift, edit.start + shift + len(edit.text)))
        shift += len(edit.text) - (edit.end - edit.start)
    return found
