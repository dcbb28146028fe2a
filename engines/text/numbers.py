"""Numbers in words, by the rules of Unicode CLDR for spelling numbers out."""

from __future__ import annotations

from functools import cached_property
from typing import Final, Literal

from unicode_rbnf import FormatPurpose, RbnfEngine

Gender = Literal["masculine", "feminine"]

MAX_CARDINAL_DIGITS: Final = 12
"""Longer ones are read digit by digit: nobody takes in a number of that length."""


class Numbers:
    """The numbers of one language.

    Args:
        locale: The CLDR locale, such as ``pt_PT``.
        digit_by_digit: Whether all decimals are read one by one; else two of them are one number.
        years: Whether years are read unlike other numbers.
        tens_have_gender: Whether 21 has a gender, and not 1 alone.
    """

    def __init__(
        self, locale: str, *, digit_by_digit: bool = True, years: bool = False, tens_have_gender: bool = True
    ) -> None:
        self._locale = locale
        self._digit_by_digit = digit_by_digit
        self._years = years
        self._tens_have_gender = tens_have_gender

    @cached_property
    def _engine(self) -> RbnfEngine:
        return RbnfEngine.for_language(self._locale)

    def cardinal(self, value: int, gender: Gender | None = None) -> str:
        """As in counting; with a gender, as before a noun of it."""
        forms = () if gender is None or (abs(value) > 1 and not self._tens_have_gender) else (gender,)
        wanted = (*(f"spellout-cardinal-{form}" for form in forms), "spellout-numbering")
        return self._spell(value, FormatPurpose.CARDINAL, wanted)

    def ordinal(self, value: int, form: str = "") -> str:
        """The rank; ``form`` is the suffix of a CLDR rule set, such as ``-feminine``."""
        return self._spell(value, FormatPurpose.ORDINAL, (f"spellout-ordinal{form}", "spellout-ordinal-masculine"))

    def year(self, value: int) -> str:
        """As in ``nineteen ninety-nine``."""
        if not self._years:
            return self.cardinal(value)
        return self._spell(value, FormatPurpose.YEAR, ("spellout-numbering-year",))

    def digits(self, text: str) -> str:
        """The digits of a text, one by one."""
        return " ".join(self.cardinal(int(char)) for char in text if char.isdecimal())

    def decimal(self, whole: str, point: str, fraction: str, gender: Gender | None = None) -> str:
        """``whole`` and ``fraction`` are digits, ``point`` is the word between them; no fraction, no point."""
        if len(whole) > MAX_CARDINAL_DIGITS or (len(whole) > 1 and whole.startswith("0")):
            spoken = self.digits(whole)
        else:
            spoken = self.cardinal(int(whole), None if fraction else gender)
        if not fraction:
            return spoken
        is_read_whole = not self._digit_by_digit and len(fraction) <= 2 and not fraction.startswith("0")  # noqa: PLR2004
        return f"{spoken} {point} {self.cardinal(int(fraction)) if is_read_whole else self.digits(fraction)}"

    def _spell(self, value: int, purpose: FormatPurpose, wanted: tuple[str, ...]) -> str:
        known = [name for name in wanted if name in self._engine.rulesets]
        return self._engine.format_number(value, purpose, known[:1]).text
