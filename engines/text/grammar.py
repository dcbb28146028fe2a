"""What the rules must know of a language to read its numbers and signs out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date

from msgspec import Struct

from engines.text.numbers import Gender, Numbers


class Noun(Struct, frozen=True):
    """What is counted."""

    one: str
    many: str
    gender: Gender | None = None
    """Of the numbers before it."""


class Currency(Struct, frozen=True):
    """Money."""

    unit: Noun
    part: Noun | None = None
    """The hundredth of it."""


class Grammar(Struct, frozen=True, kw_only=True):
    """A language as it is spoken in one place."""

    numbers: Numbers
    decimal: str
    groups: str
    """Signs that may stand between thousands, as in a set of a regular expression."""
    point: str
    minus: str
    to: str
    """Between the ends of a range."""
    conjunction: str
    """Between dollars and cents."""
    dot: str
    at: str
    slash: str
    dash: str
    underscore: str
    hashtag: str
    units: Mapping[str, Noun]
    currencies: Mapping[str, Currency]
    """By sign and by ISO 4217 code."""
    titles: Mapping[str, str]
    """Abbreviations that go before a name, with their points, and what is said instead."""
    abbreviations: Mapping[str, str]
    """Regular expressions of others, which go on. They begin at a word."""
    endings: Mapping[str, str]
    """The same of those that may end a sentence."""
    date: Callable[[date, bool], str]
    """A date in words; the flag says whether its year is told."""
    time: Callable[[int, int], str | None]
    """Hours and minutes in words; ``None`` if it cannot be said without knowing more."""
    clock_suffix: str = ""
    """A regular expression for the word after a time, which its words hold already."""
    of_millions: str = ""
    """Between whole millions and what they count."""
    plus: str = "plus"
    fraction: Callable[[str | None, int, int], str] | None = None
    """A whole number, if there is one, with so many parts of so many in words."""
    point_ranks: bool = False
    """Whether a point after a number makes it a rank, as in ``am 3. Mai``."""
    rules: tuple[Rule, ...] = ()
    """Rules of this language alone; they go before the others."""
    scales: Mapping[str, str] = {}
    """Words for thousands and more that may stand between an amount of money and its currency."""
    ordinal_forms: Mapping[str, str] = {}
    """By the suffix of a written ordinal, the suffix of the CLDR rule set that spells it."""
    month_first: bool | None = None
    """Whether 04/05 is in April; ``None`` if that is not known."""
    gender_of: Callable[[str], Gender | None] = lambda _: None
    """Of a word after a number, if it is what is counted."""
    is_one: Callable[[float], bool] = lambda amount: amount == 1
    """Whether so much of a thing takes the singular."""


class Rule(Struct, frozen=True):
    """A pattern, and how a match, or its group ``it``, is said: ``None`` if it better stays as it is."""

    pattern: re.Pattern[str]
    say: Callable[[re.Match[str], Grammar], str | None]


def ends_sentence(text: str, index: int) -> bool:
    """Whether a point before ``index`` ends a sentence, if it ends an abbreviation."""
    rest = text[index:].lstrip()
    return not rest or (rest[0].isupper() and text[index].isspace())


def at_end(match: re.Match[str], word: str) -> str:
    """What is said for an abbreviation: with the point, if that is the sentence's too."""
    end = match.end("it") if "it" in match.re.groupindex else match.end()
    return f"{word}." if ends_sentence(match.string, end) else word
