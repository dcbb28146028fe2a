"""English, as it is spoken in America and elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Final

from engines.text.grammar import Currency, Grammar, Noun, Rule, at_end
from engines.text.numbers import Numbers

MONTHS: Final = "January February March April May June July August September October November December".split()
_MONTH: Final = (
    r"(?P<month>Jan(?:uary|\.)?|Feb(?:ruary|\.)?|March|Mar\.?|April|Apr\.?|May|June|Jun\.?|July|Jul\.?|August|Aug\.?|"
    r"Sep(?:tember|t\.?|\.)?|October|Oct\.?|November|Nov\.?|December|Dec\.?)"
)
_DATE: Final = r"(?:\d|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAYS: Final = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_DECADES: Final = {2: "twenties", 3: "thirties", 4: "forties", 5: "fifties", 6: "sixties"} | {
    7: "seventies",
    8: "eighties",
    9: "nineties",
}
_ROMAN: Final = {"I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "X": 10} | {
    "XI": 11,
    "XII": 12,
}
_NUMBERS: Final = Numbers("en", years=True)
_BEFORE_SAINTS: Final = frozenset("At Around Before By For From In Like Near On Of The To Visit With".split())


def grammar(region: str) -> Grammar:
    """English of a region, ISO 3166; empty if unknown."""
    is_american = region in {"US", "PH"}
    return Grammar(
        numbers=_NUMBERS,
        decimal=".",
        groups=",",
        point="point",
        minus="minus",
        to="to",
        conjunction="and",
        dot="dot",
        at="at",
        slash="slash",
        dash="dash",
        underscore="underscore",
        hashtag="hashtag",
        units=_UNITS,
        currencies=_CURRENCIES,
        titles=_TITLES,
        abbreviations=_ABBREVIATIONS,
        endings=_ENDINGS,
        date=_american_date if is_american else _british_date,
        time=_time,
        rules=_RULES,
        scales=_SCALES,
        ordinal_forms={"st": "", "nd": "", "rd": "", "th": ""},
        fraction=_parts,
        month_first=is_american if region else None,
    )


def _american_date(day: date, with_year: bool) -> str:  # noqa: FBT001 (a Grammar's signature)
    year = f", {_NUMBERS.year(day.year)}" if with_year else ""
    return f"{MONTHS[day.month - 1]} {_NUMBERS.ordinal(day.day)}{year}"


def _british_date(day: date, with_year: bool) -> str:  # noqa: FBT001
    year = f" {_NUMBERS.year(day.year)}" if with_year else ""
    return f"the {_NUMBERS.ordinal(day.day)} of {MONTHS[day.month - 1]}{year}"


def _time(hour: int, minute: int) -> str:
    hours = _NUMBERS.cardinal(hour)
    if minute == 0:
        return f"{hours} o'clock" if 1 <= hour <= 12 else f"{hours} hundred"  # noqa: PLR2004 (of the clock's face)
    return f"{hours} {'oh ' if minute < 10 else ''}{_NUMBERS.cardinal(minute)}"  # noqa: PLR2004


def _twelve_hours(match: re.Match[str], _: Grammar) -> str | None:
    hour, minute, half = int(match["hour"]), int(match["minute"] or 0), match["half"].upper()
    if not 1 <= hour <= 12 or minute > 59:  # noqa: PLR2004
        return None
    hours = _NUMBERS.cardinal(hour)
    spoken = f"{_time(hour, minute) if minute else hours} {half}M"
    return at_end(match, spoken) if match[0].endswith(".") else spoken


def _month_day(match: re.Match[str], _: Grammar) -> str | None:
    return _dated(match, _american_date)


def _day_month(match: re.Match[str], _: Grammar) -> str | None:
    spoken = _dated(match, _british_date)
    return spoken.removeprefix("the ") if spoken and match["the"] else spoken


def _dated(match: re.Match[str], say: Callable[[date, bool], str]) -> str | None:
    year = match["year"]
    try:
        when = date(int(year) if year else 2000, _month(match["month"]), int(match["day"]))  # 2000 has a 29 February
    except ValueError:
        return None
    return say(when, year is not None)


def _month(name: str) -> int:
    return next(number for number, month in enumerate(MONTHS, 1) if month.startswith(name.rstrip(".")[:3]))


def _year(match: re.Match[str], _: Grammar) -> str:
    return _NUMBERS.year(int(match["it"]))


def _decade(match: re.Match[str], _: Grammar) -> str | None:
    tens = int(match["tens"])
    if tens == 0:
        return f"{_NUMBERS.year(int(match['century']) * 100)}s" if match["century"] else None
    if tens == 1:
        return None
    century = f"{_NUMBERS.cardinal(int(match['century']))} " if match["century"] else ""
    return century + _DECADES[tens]


def _numbered(match: re.Match[str], _: Grammar) -> str:
    return _NUMBERS.cardinal(_ROMAN[match["it"]])


def _number_sign(match: re.Match[str], grammar: Grammar) -> str:
    return f"number {grammar.numbers.decimal(match['number'], '', '')}"


def _money_before_noun(match: re.Match[str], grammar: Grammar) -> str:
    amount = grammar.numbers.cardinal(int(match["amount"].replace(",", "")))
    scale = f" {match['scale']}" if match["scale"] else ""
    return f"{amount}{scale} {_CURRENCIES[match['sign']].unit.one}"


def _saint_or_street(match: re.Match[str], _: Grammar) -> str | None:
    before, name = match["before"], match["name"]
    is_place = before is not None and before[0].isupper() and before not in _BEFORE_SAINTS
    is_place = is_place or (before is not None and before[0].isdigit())
    if is_place:
        return None if name else at_end(match, "Street")  # "Main St. Paul" is either
    return "Saint" if name else None


def _road(match: re.Match[str], _: Grammar) -> str:
    return at_end(match, {"Ave.": "Avenue", "Blvd.": "Boulevard", "Rd.": "Road"}[match["it"]])


def _weekday(match: re.Match[str], _: Grammar) -> str:
    day = next(day for day in _DAYS if day.startswith(match["day"][:3]))
    return day if match["date"] else at_end(match, day)


def _fraction(match: re.Match[str], _: Grammar) -> str | None:
    top, bottom = int(match["top"]), int(match["bottom"])
    return _parts(match["whole"], top, bottom) if top < bottom else None


def _parts(whole: str | None, top: int, bottom: int) -> str:
    part = {2: "half", 4: "quarter"}.get(bottom) or _NUMBERS.ordinal(bottom)
    parts = f"{_NUMBERS.cardinal(top)} {part}{'s' if top > 1 else ''}"
    if whole is None:
        return parts
    return f"{_NUMBERS.cardinal(int(whole))} and {f'a {part}' if top == 1 else parts}"


_RULES: Final = (
    Rule(
        re.compile(
            r"\b[Aa]n?\s+(?P<it>(?P<sign>[$€£])(?P<amount>\d{1,3}(?:,\d{3})*|\d{1,9})"
            r"(?:\s(?P<scale>thousand|million|billion|trillion))?)(?=\s+(?!(?:to|or|and|for|per|an?|in|on|each)\b)[a-z])"
        ),
        _money_before_noun,
    ),
    Rule(re.compile(r"(?<![\w/-])24/7(?![\w/-])"), lambda _, __: "twenty-four seven"),
    Rule(
        re.compile(
            rf"\b{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s+(?P<year>[12]\d{{3}}))?(?![\w:/-]|[.,]\d)"
        ),
        _month_day,
    ),
    Rule(
        re.compile(
            rf"(?<![\w.,/:-])(?P<the>\b[Tt]he\s+)?(?P<it>(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}"
            r"(?!\w)(?:,?\s+(?P<year>[12]\d{3}))?)(?![\w-])"
        ),
        _day_month,
    ),
    Rule(
        re.compile(
            r"(?<![\w.,:/-])(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?\s?(?P<half>[AaPp])(?:\.[Mm]\.|[Mm]\b)(?![\w-])"
        ),
        _twelve_hours,
    ),
    Rule(
        re.compile(
            r"\b(?:(?:[Ii]n|[Ss]ince|[Uu]ntil|[Ff]rom|[Bb]efore|[Aa]fter|[Bb]y|[Yy]ear|[Ss]pring|[Ss]ummer|"
            r"[Aa]utumn|[Ff]all|[Ww]inter|[Ee]arly|[Ll]ate|[Mm]id|of|©|"
            + "|".join(MONTHS)
            + r")(?:\s+of)?\s+)(?P<it>1[1-9]\d\d|20\d\d)(?![\w%°:/–-]|[.,]\d|\s*(?:[$€£]|percent))"
            r"(?!\s+(?:people|users|years|days|hours|minutes|seconds|miles|dollars|euros|pounds|points|words|times)\b)"
        ),
        _year,
    ),
    Rule(re.compile(r"(?<![\w'’.,-])(?P<century>1[1-9]|20)?['’]?(?P<tens>\d)0s\b"), _decade),
    Rule(
        re.compile(
            r"\b(?:[Cc]hapter|[Pp]art|[Vv]olume|[Aa]ct|[Pp]hase|World War|[Tt]ype|[Ll]evel|[Aa]ppendix)\s+"
            r"(?P<it>VIII|VII|VI|IV|IX|XII|XI|III|II|I|V|X)\b(?!\.\w|['’-])"
        ),
        _numbered,
    ),
    Rule(re.compile(r"(?:\b(?P<before>[\w']+)\s+)?\b(?P<it>St\.)(?=(?P<name>\s+[A-Z][a-z])?)"), _saint_or_street),
    Rule(re.compile(r"\b(?P<before>[A-Z][a-z]+|\d+(?:st|nd|rd|th))\s+(?P<it>(?:Ave|Blvd|Rd)\.)"), _road),
    Rule(re.compile(rf"\b(?P<it>(?P<day>Mon|Tues?|Wed|Thu(?:rs?)?|Fri)\.)(?P<date>,?\s+{_DATE})?"), _weekday),
    Rule(
        re.compile(
            rf"(?:\b(?:[Oo]n|[Nn]ext|[Ll]ast|[Tt]his|[Ee]very)\s+)(?P<it>(?P<day>Sat|Sun)\.)(?P<date>,?\s+{_DATE})?"
        ),
        _weekday,
    ),
    Rule(re.compile(rf"\b(?P<it>(?P<day>Sat|Sun)\.)(?P<date>,?\s+{_DATE})"), _weekday),
    Rule(re.compile(r"(?<!\w)(?:#|No\.\s?|no\.\s)(?P<number>\d{1,9})(?![\w]|[.,:/-]\d)"), _number_sign),
    Rule(
        re.compile(
            r"(?<![\w.,:/$€£-])(?:(?P<whole>\d{1,3})\s)?(?P<top>[123])/(?P<bottom>[2-9])(?![\w/]|[.,]\d)"
            r"(?=\s+(?:of\b|an?\b|cups?\b|tea|table|inch|hours?\b|miles?\b|pounds?\b|pints?\b|liters?\b|full\b))"
        ),
        _fraction,
    ),
)
_SCALES: Final = {
    "k": "thousand",
    "K": "thousand",
    "m": "million",
    "M": "million",
    "mn": "million",
    "b": "billion",
    "B": "billion",
    "bn": "billion",
    "tn": "trillion",
    "thousand": "thousand",
    "million": "million",
    "billion": "billion",
    "trillion": "trillion",
}
_CURRENCIES: Final = {
    "$": Currency(Noun("dollar", "dollars"), Noun("cent", "cents")),
    "€": Currency(Noun("euro", "euros"), Noun("cent", "cents")),
    "£": Currency(Noun("pound", "pounds"), Noun("penny", "pence")),
    "¥": Currency(Noun("yen", "yen")),
    "USD": Currency(Noun("US dollar", "US dollars"), Noun("cent", "cents")),
    "EUR": Currency(Noun("euro", "euros"), Noun("cent", "cents")),
    "GBP": Currency(Noun("British pound", "British pounds"), Noun("penny", "pence")),
    "JPY": Currency(Noun("yen", "yen")),
    "CHF": Currency(Noun("Swiss franc", "Swiss francs"), Noun("centime", "centimes")),
}
_UNITS: Final = {
    "%": Noun("percent", "percent"),
    "°C": Noun("degree Celsius", "degrees Celsius"),
    "°F": Noun("degree Fahrenheit", "degrees Fahrenheit"),
    "°": Noun("degree", "degrees"),
    "km/h": Noun("kilometer per hour", "kilometers per hour"),
    "kph": Noun("kilometer per hour", "kilometers per hour"),
    "mph": Noun("mile per hour", "miles per hour"),
    "m/s": Noun("meter per second", "meters per second"),
    "km²": Noun("square kilometer", "square kilometers"),
    "m²": Noun("square meter", "square meters"),
    "m³": Noun("cubic meter", "cubic meters"),
    "km": Noun("kilometer", "kilometers"),
    "m": Noun("meter", "meters"),
    "cm": Noun("centimeter", "centimeters"),
    "mm": Noun("millimeter", "millimeters"),
    "ft": Noun("foot", "feet"),
    "kg": Noun("kilogram", "kilograms"),
    "g": Noun("gram", "grams"),
    "mg": Noun("milligram", "milligrams"),
    "lb": Noun("pound", "pounds"),
    "lbs": Noun("pound", "pounds"),
    "oz": Noun("ounce", "ounces"),
    "ml": Noun("milliliter", "milliliters"),
    "mL": Noun("milliliter", "milliliters"),
    "l": Noun("liter", "liters"),
    "L": Noun("liter", "liters"),
    "ms": Noun("millisecond", "milliseconds"),
    "s": Noun("second", "seconds"),
    "min": Noun("minute", "minutes"),
    "h": Noun("hour", "hours"),
    "kB": Noun("kilobyte", "kilobytes"),
    "KB": Noun("kilobyte", "kilobytes"),
    "MB": Noun("megabyte", "megabytes"),
    "GB": Noun("gigabyte", "gigabytes"),
    "TB": Noun("terabyte", "terabytes"),
    "Hz": Noun("hertz", "hertz"),
    "kHz": Noun("kilohertz", "kilohertz"),
    "MHz": Noun("megahertz", "megahertz"),
    "GHz": Noun("gigahertz", "gigahertz"),
    "W": Noun("watt", "watts"),
    "kW": Noun("kilowatt", "kilowatts"),
    "kWh": Noun("kilowatt hour", "kilowatt hours"),
    "V": Noun("volt", "volts"),
}
_TITLES: Final = {
    "Dr.": "Doctor",
    "Mr.": "Mister",
    "Mrs.": "Missus",
    "Ms.": "Miz",
    "Prof.": "Professor",
    "Gen.": "General",
    "Capt.": "Captain",
    "Mt.": "Mount",
}
_ABBREVIATIONS: Final = {
    r"e\.\s?g\.": "for example",
    r"i\.\s?e\.": "that is",
    r"vs\.?(?!\w)": "versus",
    r"approx\.(?=\s+\S)": "approximately",
    r"w/o(?!\w)": "without",
}
_ENDINGS: Final = {
    r"etc\.": "et cetera",
    r"Jr\.": "Junior",
    r"Sr\.": "Senior",
    r"Inc\.": "Incorporated",
    r"Ltd\.": "Limited",
}
