"""Written text as spoken: numbers, dates, money, units, abbreviations, addresses.

Only the languages below have rules. Texts of others lose their markup, and the voice reads the rest as it can.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from engines.text import english, german, romance
from engines.text.grammar import Grammar, Rule
from engines.text.mapped import Edit
from engines.text.rules import rules_of, spoken_amount, spoken_date, spoken_digits, spoken_money, spoken_time

_GRAMMARS: Final[Mapping[str, Callable[[str], Grammar]]] = {
    "en": english.grammar,
    "de": german.grammar,
    "es": romance.spanish,
    "fr": romance.french,
    "pt": romance.portuguese,
    "it": romance.italian,
}


class Normalizer:
    """The rules of one language.

    Args:
        grammar: What they need to know of it.
    """

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._rules: tuple[Rule, ...] = rules_of(grammar)

    def edits(self, text: str) -> list[Edit]:
        """What is to be read otherwise than it is written: edits that do not overlap, in no order."""
        found: list[Edit] = []
        if not _NEEDS_RULES.search(text):
            return found
        free = bytearray(len(text))
        for rule in self._rules:
            group = "it" if "it" in rule.pattern.groupindex else 0
            for match in rule.pattern.finditer(text):
                start, end = match.span(group)
                if any(free[start:end]) or (said := rule.say(match, self._grammar)) is None:
                    continue
                free[start:end] = b"\1" * (end - start)
                found.append(Edit(start, end, said))
        return found

    def say_as(self, kind: str, text: str, form: str) -> str | None:
        """A text of a known kind, by the names of SSML; ``None`` if it is none of that kind.

        Args:
            kind: ``cardinal``, ``ordinal``, ``digits``, ``telephone``, ``date``, ``time``, ``currency``,
                ``characters`` or ``spell-out``.
            text: Without white space around it.
            form: Of a date: the order of the letters d, m and y.
        """
        grammar = self._grammar
        match kind:
            case "characters" | "spell-out":
                return " ".join(self._spelled(char) for char in text if not char.isspace())
            case "digits" | "telephone":
                return spoken_digits(text, grammar) or None
            case "date":
                return spoken_date(text, grammar, form)
            case "time":
                return spoken_time(text, grammar)
            case "ordinal":
                return grammar.numbers.ordinal(int(text)) if text.isdecimal() and len(text) <= _MAX_ORDINAL else None
            case "currency":
                return self._currency(text)
            case _:
                return spoken_amount(text.removeprefix("-"), grammar, minus=text.startswith("-"))

    def _spelled(self, char: str) -> str:
        grammar = self._grammar
        signs = {".": grammar.dot, "@": grammar.at, "/": grammar.slash, "-": grammar.dash, "_": grammar.underscore}
        return grammar.numbers.digits(char) if char.isdecimal() else signs.get(char, char.upper())

    def _currency(self, text: str) -> str | None:
        for sign, currency in self._grammar.currencies.items():
            amount = text.removeprefix(sign).removesuffix(sign).strip()
            if amount != text:
                return spoken_money(amount, currency, self._grammar)
        return None


_MAX_ORDINAL: Final = 9
_NEEDS_RULES: Final = re.compile(
    r"[\d#@/½¼¾⅓⅔]|\.(?!\s*$)|\b\w{1,5}\.\s*$|str\.\s*$|\b(?:Mme|Mlle|Dr|Pr|vs)\b|"
    r"\b(?:[Cc]hapter|[Pp]art|[Vv]olume|[Aa]ct|[Pp]hase|War|[Tt]ype|[Ll]evel|[Aa]ppendix)\s+[IVX]"
)
"""Without a digit, a sign, a point but at the end, and words that rules know: what most sentences are."""


@lru_cache
def normalizer(language: str) -> Normalizer | None:
    """The rules of a BCP 47 language such as ``en-US``; ``None`` if there are none."""
    code, _, rest = language.replace("_", "-").partition("-")
    region = rest.rpartition("-")[2].upper()
    grammar = _GRAMMARS.get(code.lower())
    return Normalizer(grammar(region)) if grammar is not None else None
