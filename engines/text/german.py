"""German."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from engines.text.grammar import Currency, Grammar, Noun, Rule, at_end
from engines.text.numbers import Numbers

MONTHS: Final = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split()
_MONTH: Final = "|".join(MONTHS)
_NUMBERS: Final = Numbers("de", years=True)
_DATIVE: Final = frozenset("ab am beim bis dem den im seit vom zum".split())


def grammar(_: str) -> Grammar:
    """German of any region."""
    return Grammar(
        numbers=_NUMBERS,
        decimal=",",
        groups=".\u00a0\u202f'’",
        point="Komma",
        minus="minus",
        to="bis",
        conjunction="und",
        dot="Punkt",
        at="ät",
        slash="Schrägstrich",
        dash="Bindestrich",
        underscore="Unterstrich",
        hashtag="Hashtag",
        units=_UNITS,
        currencies=_CURRENCIES,
        titles={"Dr.": "Doktor", "Prof.": "Professor", "Hr.": "Herr"},
        abbreviations=_ABBREVIATIONS,
        endings={r"usw\.": "und so weiter"},
        date=lambda day, with_year: _spoken(day, "-r", with_year=with_year),
        time=_time,
        clock_suffix=r"\s?Uhr\b",
        rules=_RULES,
        scales={
            "Mio.": "Millionen",
            "Mrd.": "Milliarden",
            "Millionen": "Millionen",
            "Milliarden": "Milliarden",
        },
        month_first=False,
        point_ranks=True,
    )


def _spoken(day: date, form: str, *, with_year: bool) -> str:
    year = f" {_NUMBERS.year(day.year)}" if with_year else ""
    return f"{_NUMBERS.ordinal(day.day, form)} {MONTHS[day.month - 1]}{year}"


def _time(hour: int, minute: int) -> str:
    minutes = f" {_NUMBERS.cardinal(minute)}" if minute else ""
    return f"{_NUMBERS.cardinal(hour, 'masculine')} Uhr{minutes}"


def _date(match: re.Match[str], _: Grammar) -> str | None:
    day, month, year = match["day"], match["month"], match["year"]
    try:
        number = MONTHS.index(month) + 1 if month in MONTHS else int(month)
        when = date(int(year) if year else 2000, number, int(day))  # 2000 has a 29 February
    except ValueError:
        return None
    before = (match["before"] or "").lower()
    form = "-n" if before in _DATIVE else "" if before in {"der", "die", "das"} else "-r"
    return _spoken(when, form, with_year=year is not None)


_RULES: Final = (
    Rule(
        re.compile(
            r"(?:\b(?P<before>[A-Za-zÄÖÜäöüß]+),?\s+)?(?<![\w.,/-])(?P<it>(?P<day>\d{1,2})\.\s?"
            rf"(?P<month>{_MONTH}|\d{{1,2}}(?=\.\s?[12]\d{{3}}))\b\.?(?:\s?(?P<year>[12]\d{{3}}))?)(?![\w/-]|[.,]\d)"
        ),
        _date,
    ),
    Rule(
        re.compile(
            r"\b(?:[Ii]m Jahre?|[Jj]ahre?|[Ss]eit|[Ii]n|[Uu]m|[Ss]ommer|[Ww]inter|[Ff]rühling|[Hh]erbst|"
            rf"{_MONTH})\s+(?P<it>1[1-9]\d\d|20\d\d)(?![\w%°:/–-]|[.,]\d|\s+[A-ZÄÖÜ€$])"
        ),
        lambda match, _: _NUMBERS.year(int(match["it"])),
    ),
    Rule(re.compile(r"\bNr\.\s?(?=\d)"), lambda _, __: "Nummer "),
    Rule(re.compile(r"\b[A-ZÄÖÜ][a-zäöüß]{2,}(?P<it>str\.)"), lambda match, _: at_end(match, "straße")),
    Rule(re.compile(r"\b[A-ZÄÖÜ][\w-]*(?:-|r\s)(?P<it>Str\.)"), lambda match, _: at_end(match, "Straße")),
)
_EURO: Final = Currency(Noun("Euro", "Euro", "masculine"), Noun("Cent", "Cent", "masculine"))
_DOLLAR: Final = Currency(Noun("Dollar", "Dollar", "masculine"), Noun("Cent", "Cent", "masculine"))
_CURRENCIES: Final = {
    "€": _EURO,
    "EUR": _EURO,
    "$": _DOLLAR,
    "USD": Currency(Noun("US-Dollar", "US-Dollar", "masculine"), Noun("Cent", "Cent", "masculine")),
    "£": Currency(Noun("Pfund", "Pfund", "masculine"), Noun("Penny", "Pence", "masculine")),
    "¥": Currency(Noun("Yen", "Yen", "masculine")),
    "CHF": Currency(Noun("Schweizer Franken", "Schweizer Franken", "masculine"), Noun("Rappen", "Rappen", "masculine")),
}
_UNITS: Final = {
    "%": Noun("Prozent", "Prozent", "masculine"),
    "°C": Noun("Grad Celsius", "Grad Celsius", "masculine"),
    "°": Noun("Grad", "Grad", "masculine"),
    "km/h": Noun("Kilometer pro Stunde", "Kilometer pro Stunde", "masculine"),
    "m/s": Noun("Meter pro Sekunde", "Meter pro Sekunde", "masculine"),
    "km²": Noun("Quadratkilometer", "Quadratkilometer", "masculine"),
    "m²": Noun("Quadratmeter", "Quadratmeter", "masculine"),
    "m³": Noun("Kubikmeter", "Kubikmeter", "masculine"),
    "km": Noun("Kilometer", "Kilometer", "masculine"),
    "m": Noun("Meter", "Meter", "masculine"),
    "cm": Noun("Zentimeter", "Zentimeter", "masculine"),
    "mm": Noun("Millimeter", "Millimeter", "masculine"),
    "kg": Noun("Kilogramm", "Kilogramm", "masculine"),
    "g": Noun("Gramm", "Gramm", "masculine"),
    "mg": Noun("Milligramm", "Milligramm", "masculine"),
    "l": Noun("Liter", "Liter", "masculine"),
    "ml": Noun("Milliliter", "Milliliter", "masculine"),
    "h": Noun("Stunde", "Stunden", "feminine"),
    "Std.": Noun("Stunde", "Stunden", "feminine"),
    "min": Noun("Minute", "Minuten", "feminine"),
    "Min.": Noun("Minute", "Minuten", "feminine"),
    "s": Noun("Sekunde", "Sekunden", "feminine"),
    "kB": Noun("Kilobyte", "Kilobyte", "masculine"),
    "MB": Noun("Megabyte", "Megabyte", "masculine"),
    "GB": Noun("Gigabyte", "Gigabyte", "masculine"),
    "TB": Noun("Terabyte", "Terabyte", "masculine"),
    "Hz": Noun("Hertz", "Hertz", "masculine"),
    "kHz": Noun("Kilohertz", "Kilohertz", "masculine"),
    "MHz": Noun("Megahertz", "Megahertz", "masculine"),
    "GHz": Noun("Gigahertz", "Gigahertz", "masculine"),
    "W": Noun("Watt", "Watt", "masculine"),
    "kW": Noun("Kilowatt", "Kilowatt", "masculine"),
    "kWh": Noun("Kilowattstunde", "Kilowattstunden", "feminine"),
    "V": Noun("Volt", "Volt", "masculine"),
}
_ABBREVIATIONS: Final = {
    r"z\.\s?B\.": "zum Beispiel",
    r"d\.\s?h\.": "das heißt",
    r"u\.\s?a\.": "unter anderem",
    r"bzw\.": "beziehungsweise",
    r"ca\.(?=\s+\S)": "circa",
    r"evtl\.": "eventuell",
    r"ggf\.": "gegebenenfalls",
    r"inkl\.": "inklusive",
}
