"""What is written for the eye: markdown, HTML, emoji. It is left out, and what it surrounds is spoken.

markdown-it and its like tell the line of a block, not the offset of a star; and a text that streams in is never whole.
So each rule looks at marks alone: what could be a mark and could be text stays.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import Final

from engines.text.mapped import Edit, without_overlaps

_BLOCK_START: Final = re.compile(r"\n(?=[ \t]*(?:\n|[-*+•][ \t]|\#{1,6}[ \t]|>|\||```|~~~|\d{1,3}[.)][ \t]))")
_LINE_KINDS: Final = re.compile(r"^[ \t]*(?:#{1,6}[ \t]|[-*+•][ \t]|\|)")
_TABLE_RULE: Final = r"^[ \t]*(?:\|(?:[ \t]*:?-+:?[ \t]*\|)+|:?-{3,}:?[ \t]*(?:\|[ \t]*:?-{3,}:?[ \t]*)+)[ \t]*$"
_TABLE_ROW: Final = re.compile(r"^[ \t]*\|.*\|[ \t]*$", re.MULTILINE)
_BAR: Final = re.compile(r"[ \t]*\|")
_TAGS: Final = (
    "a abbr b blockquote br code del div em h[1-6] i img ins li mark ol p pre s small span strong sub sup u ul"
)
_EMOJI: Final = (
    "[\U0001f000-\U0001f1ff\U0001f3fb-\U0001f3ff\U0001f300-\U0001faff\U000e0020-\U000e007f"
    "\u2600-\u27bf\u2b00-\u2bff\u231a\u231b\u23e9-\u23f3\u23f8-\u23fa\u200d\ufe0e\ufe0f\u20e3]+"
)


def _gone(_: re.Match[str]) -> str:
    return ""


_RULES: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"\\([\\`*_{}\[\]()#+\-.!|~>])"), lambda match: match[1]),
    (re.compile(_EMOJI), _gone),
    (re.compile(r"^[ \t]*(?:```|~~~)[^\n`]*$", re.MULTILINE), _gone),
    (re.compile(r"^[ \t]*([-*_])(?:[ \t]*\1){2,}[ \t]*$", re.MULTILINE), _gone),
    (re.compile(_TABLE_RULE, re.MULTILINE), _gone),
    (re.compile(r"^[ \t]*#{1,6}[ \t]+", re.MULTILINE), _gone),
    (re.compile(r"^[ \t]*(?:>[ \t]?)+", re.MULTILINE), _gone),
    (re.compile(r"^[ \t]*[-*+•][ \t]+(?:\[[ xX]\][ \t]+)?", re.MULTILINE), _gone),
    (re.compile(r"\[\^[^\]\s]+\]:?"), _gone),
    (re.compile(r"!?\[(?=[^\]\n]*\](?:\(|\[))"), _gone),
    (re.compile(r"(?<=[^\]\n])\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:[ \t]+[\"'][^\"'\n]*[\"'])?\)"), _gone),
    (re.compile(r"(?<=[^\]\n])\]\[[^\]\n]*\]"), _gone),
    (re.compile(r"<((?:https?://|mailto:)[^\s<>]+|[^\s<>@]+@[^\s<>]+)>"), lambda match: match[1]),
    (
        re.compile(
            rf"</?(?:{'|'.join(_TAGS.split())})(?:\s+[\w-]+=(?:\"[^\"]*\"|'[^']*'|[\w.#%-]+))*\s*/?>", re.IGNORECASE
        ),
        _gone,
    ),
    (re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{1,6}|#x[0-9a-fA-F]{1,5});"), lambda match: html.unescape(match[0])),
    (re.compile(r"`+"), _gone),
    (re.compile(r"~~(?=\S)|(?<=\S)~~"), _gone),
    (re.compile(r"(?<!\w)\*{2,3}(?=\S)|(?<=\S)\*{2,3}(?!\w)"), _gone),
    (re.compile(r"(?<![\w*])\*(?=[^\s*])|(?<=[^\s*])\*(?![\w*])"), _gone),
    (re.compile(r"(?<!\w)_{1,3}(?=[^\s_])|(?<=[^\s_])_{1,3}(?!\w)"), _gone),
)
"""Marks, in the order in which they are looked for, and what stands there instead."""


def edits(text: str) -> list[Edit]:
    """What leaves the words of a text, and pauses where headings, items and rows of tables end."""
    found: list[Edit] = []
    for pattern, replacement in _RULES:
        marks = [Edit(match.start(), match.end(), replacement(match)) for match in pattern.finditer(text)]
        found = without_overlaps(found, [mark for mark in marks if mark.end > mark.start])
    found = without_overlaps(found, list(_cells(text)))
    return without_overlaps(found, list(_stops(text, found)))


def blocks(text: str) -> Iterator[tuple[int, str]]:
    """Paragraphs, headings, items of lists, rows of tables, with their offsets. Joined, they are the text."""
    start = 0
    for match in _BLOCK_START.finditer(text):
        yield start, text[start : match.end()]
        start = match.end()
    if start < len(text):
        yield start, text[start:]


def _cells(text: str) -> Iterator[Edit]:
    for row in _TABLE_ROW.finditer(text):
        bars = [match.span() for match in _BAR.finditer(text, row.start(), row.end())]
        for start, end in bars:
            yield Edit(start, end, "" if (start, end) in {bars[0], bars[-1]} else ",")


def _stops(text: str, found: list[Edit]) -> Iterator[Edit]:
    """A full stop where a heading, an item or a row ends without one."""
    start = 0
    for line in text.splitlines(keepends=True):
        if _LINE_KINDS.match(line):
            left = [at for at in range(start, start + len(line)) if not text[at].isspace()]
            while left and any(edit.start <= left[-1] < edit.end and not edit.text for edit in found):
                left.pop()
            if left and text[left[-1]].isalnum():
                yield Edit(left[-1], left[-1] + 1, text[left[-1]] + ".")
        start += len(line)
