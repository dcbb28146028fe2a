"""Rules for what most languages write alike: amounts, dates, times, ranges, telephone numbers, addresses.

A rule takes only what it is sure of. What none takes is left to the voice, which reads much of it well enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from functools import partial
from typing import Final

from engines.text.grammar import Currency, Grammar, Noun, Rule, at_end
from engines.text.numbers import Gender

_LEFT: Final = r"(?<![\w.,:/\-–−$€£¥#@%°'’+&=^~*])"
_RIGHT: Final = r"(?![\w%°€$£¥²³^]|[.,:/\-–−'’*×=]\d)"
_TLD: Final = r"(?:com|org|net|edu|gov|io|dev|ai|app|info|eu|de|fr|es|it|pt|co\.uk|ac\.uk|uk|ch|at|br)"
_SPACE: Final = "[ \u00a0\u202f]?"
_MONTHS: Final = 12
_SCALE: Final = re.compile(
    r"\s?(?:[Mm]il(?:\b|l?i\w|l[oóe]\w*|h\w+|a\b)|[Mm]i?rd\b|[Mm]io\b|[Bb]il(?:l?i|h)\w|[kKM]\b)"
)
_FRACTIONS: Final = {"½": (1, 2), "¼": (1, 4), "¾": (3, 4), "⅓": (1, 3), "⅔": (2, 3)}


def rules_of(grammar: Grammar) -> tuple[Rule, ...]:
    """All rules of a language, in the order in which they are tried."""
    number = rf"\d{{1,3}}(?:[{grammar.groups}]\d{{3}})+(?:{re.escape(grammar.decimal)}\d+)?"
    number = rf"(?:{number}|\d+(?:{re.escape(grammar.decimal)}\d+)?)"
    units = "|".join(re.escape(unit) for unit in sorted(grammar.units, key=len, reverse=True))
    signs = "|".join(
        re.escape(sign) for sign in sorted(grammar.currencies, key=len, reverse=True) if not sign.isalpha()
    )
    codes = "|".join(sign for sign in grammar.currencies if sign.isalpha())
    scales = "|".join(re.escape(scale) for scale in sorted(grammar.scales, key=len, reverse=True)) or "(?!)"
    clock = r"(?:[01]?\d|2[0-3]):[0-5]\d"
    forms = "|".join(map(re.escape, grammar.ordinal_forms)) or "(?!)"
    suffix = f"(?:{grammar.clock_suffix})?" if grammar.clock_suffix else ""
    return (
        Rule(re.compile(r"(?<![\w@.])[\w.+-]*\w@(?:\w[\w-]*\.)+[A-Za-z]{2,}(?!\w)"), _address),
        Rule(re.compile(r"(?<!\w)https?://(?P<url>[^\s<>\"'()]*[\w/])"), _url),
        Rule(re.compile(rf"(?<![\w@./-])(?P<url>(?:[A-Za-z0-9][\w-]*\.)+{_TLD})(?![\w@-]|\.\w|/)"), _url),
        *grammar.rules,
        *(
            Rule(
                re.compile(rf"(?<![\w.]){re.escape(title)}(?=\s+(?:(?:and|und|y|et|e)\s+)?[^\W\d_a-z])"),
                partial(_fixed, text=text),
            )
            for title, text in grammar.titles.items()
        ),
        *(
            Rule(re.compile(rf"(?<![\w.]){pattern}"), partial(_fixed, text=text))
            for pattern, text in grammar.abbreviations.items()
        ),
        *(
            Rule(re.compile(rf"(?<![\w.]){pattern}"), partial(_ending, text=text))
            for pattern, text in grammar.endings.items()
        ),
        Rule(re.compile(r"(?<![\w-])(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})(?![\w-])"), _date),
        Rule(
            re.compile(r"(?<![\w./-])(?P<a>\d{1,2})(?P<sep>[/.])(?P<b>\d{1,2})(?P=sep)(?P<y>[12]\d{3})(?![\w/-]|\.\d)"),
            _numeric_date,
        ),
        Rule(re.compile(rf"{_LEFT}(?P<a>{clock})\s?[–-]\s?(?P<b>{clock}){suffix}(?![\w:]|[.,]\d)"), _time_range),
        Rule(re.compile(rf"{_LEFT}(?P<a>{clock}){suffix}(?![\w:–-]|[.,]\d)"), _time),
        Rule(
            re.compile(
                r"(?<![\w+(-])(?:\+\d{1,3}|\+?\d{0,2}[ -]?\(\d{2,5}\))(?:[ .-]?\(?\d{2,5}\)?){2,5}(?![\w-]|[.,]\d)"
            ),
            _telephone,
        ),
        Rule(re.compile(r"(?<![\w+(.,-])(?:\d-)?\d{3}-\d{3}-\d{4}(?![\w-]|[.,]\d)"), _telephone),
        Rule(
            re.compile(
                rf"{_LEFT}(?P<minus>[-−])?(?P<sign>{signs}){_SPACE}(?P<amount>{number})"
                rf"(?:{_SPACE}(?P<scale>{scales}))?{_RIGHT}"
            ),
            _money,
        ),
        Rule(
            re.compile(
                rf"{_LEFT}(?P<minus>[-−])?(?P<amount>{number})(?:{_SPACE}(?P<scale>{scales}))?{_SPACE}"
                rf"(?P<sign>{signs}|(?:{codes})(?!\w)){_RIGHT}"
            ),
            _money,
        ),
        Rule(
            re.compile(rf"{_LEFT}(?P<minus>)(?P<sign>{codes}){_SPACE}(?P<amount>{number})(?P<scale>){_RIGHT}"), _money
        ),
        Rule(
            re.compile(
                rf"{_LEFT}(?P<a>{number})(?P<sep>[–-])(?P<b>{number})"
                rf"(?:(?P<gap>{_SPACE})(?P<unit>{units})(?![\w/²³]))?(?![\w%°]|[.,:/\-–−'’]\d|[–-])"
            ),
            _range,
        ),
        Rule(
            re.compile(
                rf"{_LEFT}(?P<minus>[-−–])?(?P<amount>{number})(?P<gap>{_SPACE})(?P<unit>{units})(?![\w/²³]|[.,]\d)"
            ),
            _measure,
        ),
        Rule(re.compile(rf"{_LEFT}(?P<whole>\d{{1,4}})?{_SPACE}(?P<part>[{''.join(_FRACTIONS)}])(?!\w)"), _vulgar),
        Rule(
            re.compile(
                rf"(?<![\w.,:/-])(?P<n>\d{{1,4}})\.?(?P<form>{forms})"
                r"(?!\w)"
            ),
            _ordinal,
        ),
        Rule(
            re.compile(rf"{_LEFT}(?P<minus>[-−])?(?P<amount>{number}){_RIGHT}(?=(?:\s(?P<noun>[^\W\d_]+))?)"), _number
        ),
        Rule(re.compile(r"(?<![\w&#/])#(?P<tag>[^\W\d]\w*)"), _hashtag),
    )


def spoken_amount(
    amount: str, grammar: Grammar, noun: Noun | None = None, *, minus: bool = False, gender: Gender | None = None
) -> str | None:
    """A number as it is written, in words, with what it counts; ``None`` if it is none.

    Args:
        amount: With the signs that the language puts between thousands.
        grammar: Of the language.
        noun: What it counts, to be said with it.
        minus: Whether it is below zero.
        gender: Of what it counts, if that is said elsewhere.
    """
    plain = re.sub(f"[{grammar.groups}]", "", amount)
    whole, _, fraction = plain.partition(grammar.decimal)
    if not whole.isdecimal() or (fraction and not fraction.isdecimal()):
        return None
    spoken = grammar.numbers.decimal(whole, grammar.point, fraction, noun.gender if noun else gender)
    if minus:
        spoken = f"{grammar.minus} {spoken}"
    if noun is None:
        return spoken
    name = noun.one if grammar.is_one(float(f"{whole}.{fraction or 0}")) else noun.many
    is_millions = not fraction and int(whole) and not int(whole) % 1_000_000
    return f"{spoken} {_of(name, grammar.of_millions) if is_millions else name}"


def _of(name: str, of: str) -> str:
    """As in ``millions de dollars`` and ``millions d'euros``."""
    if of == "d'":
        return f"d'{name}" if name[0].lower() in "aeéèhiou" else f"de {name}"
    return f"{of} {name}".strip()


def spoken_money(amount: str, currency: Currency, grammar: Grammar) -> str | None:
    """An amount as it is written: dollars, and cents if there are two decimals."""
    whole, _, fraction = re.sub(f"[{grammar.groups}]", "", amount).partition(grammar.decimal)
    if currency.part is None or len(fraction) != 2:  # noqa: PLR2004 (hundredths)
        return spoken_amount(amount, grammar, currency.unit)
    units = spoken_amount(whole, grammar, currency.unit)
    if not int(fraction):
        return units
    parts = spoken_amount(str(int(fraction)), grammar, currency.part)
    return f"{units} {grammar.conjunction} {parts}" if int(whole) else parts


def spoken_digits(text: str, grammar: Grammar) -> str:
    """Digits one by one, with a pause where there is another sign."""
    plus = f"{grammar.plus} " if text.lstrip().startswith("+") else ""
    return plus + ", ".join(grammar.numbers.digits(group) for group in re.findall(r"\d+", text))


def spoken_date(text: str, grammar: Grammar, order: str = "") -> str | None:
    """A date of three numbers; ``order`` is of the letters d, m and y, else it is told by the date or the language."""
    numbers = re.findall(r"\d+", text)
    if len(numbers) != 3:  # noqa: PLR2004
        return None
    if not order:
        order = "ymd" if len(numbers[0]) == 4 else _order(int(numbers[0]), int(numbers[1]), grammar) or ""  # noqa: PLR2004
    if sorted(order) != ["d", "m", "y"]:
        return None
    parts = dict(zip(order, map(int, numbers), strict=True))
    try:
        return grammar.date(date(parts["y"], parts["m"], parts["d"]), True)  # noqa: FBT003
    except ValueError:
        return None


def spoken_time(text: str, grammar: Grammar) -> str | None:
    """A time as ``14:30``."""
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", text)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:  # noqa: PLR2004
        return None
    return grammar.time(int(match[1]), int(match[2]))


def _order(first: int, second: int, grammar: Grammar) -> str | None:
    if first > _MONTHS:
        return "dmy"
    if second > _MONTHS:
        return "mdy"
    if grammar.month_first is None:
        return None
    return "mdy" if grammar.month_first else "dmy"


def _fixed(_: re.Match[str], __: Grammar, *, text: str) -> str:
    return text


def _ending(match: re.Match[str], _: Grammar, *, text: str) -> str:
    return at_end(match, text)


def _date(match: re.Match[str], grammar: Grammar) -> str | None:
    return spoken_date(match[0], grammar, "ymd")


def _numeric_date(match: re.Match[str], grammar: Grammar) -> str | None:
    return spoken_date(match[0], grammar, "dmy" if match["sep"] == "." else "")


def _time(match: re.Match[str], grammar: Grammar) -> str | None:
    return spoken_time(match["a"], grammar)


def _time_range(match: re.Match[str], grammar: Grammar) -> str | None:
    ends = [spoken_time(match[name], grammar) for name in "ab"]
    return None if None in ends else f" {grammar.to} ".join(end for end in ends if end)


def _telephone(match: re.Match[str], grammar: Grammar) -> str | None:
    digits = sum(char.isdecimal() for char in match[0])
    return spoken_digits(match[0], grammar) if 7 <= digits <= 15 else None  # noqa: PLR2004 (E.164, and local ones)


def _money(match: re.Match[str], grammar: Grammar) -> str | None:
    currency = grammar.currencies[match["sign"]]
    if match["scale"]:
        amount = spoken_amount(match["amount"], grammar)
        spoken = f"{amount} {grammar.scales[match['scale']]} {currency.unit.many}"
    elif _SCALE.match(match.string, match.end()):
        return None  # a scale that is not known here
    else:
        spoken = spoken_money(match["amount"], currency, grammar) or ""
    return f"{grammar.minus} {spoken}" if match["minus"] else spoken


def _range(match: re.Match[str], grammar: Grammar) -> str | None:
    low, high = (re.sub(f"[{grammar.groups}]", "", match[name]).replace(grammar.decimal, ".") for name in "ab")
    are_years = all(re.fullmatch(r"1[1-9]\d\d|20\d\d", end) for end in (low, high))
    unit = _unit(match, grammar)
    if float(low) >= float(high) or (match["sep"] == "-" and unit is None and not are_years):
        return None  # a score, a part number
    if are_years and unit is None:
        return f"{grammar.numbers.year(int(low))} {grammar.to} {grammar.numbers.year(int(high))}"
    first, second = spoken_amount(match["a"], grammar), spoken_amount(match["b"], grammar, unit)
    unknown = "" if unit or not match["unit"] else match["gap"] + match["unit"]
    return f"{first} {grammar.to} {second}{unknown}"


def _measure(match: re.Match[str], grammar: Grammar) -> str | None:
    unit = _unit(match, grammar)
    return unit and spoken_amount(match["amount"], grammar, unit, minus=bool(match["minus"]))


def _unit(match: re.Match[str], grammar: Grammar) -> Noun | None:
    """The unit, if it is one: 5g and 5m may be anything."""
    unit = match["unit"]
    return None if unit is None or (not match["gap"] and unit.isalpha() and len(unit) == 1) else grammar.units[unit]


def _vulgar(match: re.Match[str], grammar: Grammar) -> str | None:
    return grammar.fraction(match["whole"], *_FRACTIONS[match["part"]]) if grammar.fraction else None


def _ordinal(match: re.Match[str], grammar: Grammar) -> str | None:
    number = int(match["n"])
    return grammar.numbers.ordinal(number, grammar.ordinal_forms[match["form"]]) if number else None


def _number(match: re.Match[str], grammar: Grammar) -> str | None:
    is_ordinal = grammar.point_ranks and re.match(r"\.\s+\w", match.string[match.end() :]) and len(match[0]) <= 2  # noqa: PLR2004
    gender = grammar.gender_of(match["noun"]) if match["noun"] else None
    return None if is_ordinal else spoken_amount(match["amount"], grammar, minus=bool(match["minus"]), gender=gender)


def _hashtag(match: re.Match[str], grammar: Grammar) -> str:
    words = re.sub(r"(?<=[^\W\d_A-Z])(?=[A-Z])|_+", " ", match["tag"])
    return f"{grammar.hashtag} {words.strip()}"


def _address(match: re.Match[str], grammar: Grammar) -> str:
    return " ".join(_spelled_out(match[0], grammar))


def _url(match: re.Match[str], grammar: Grammar) -> str | None:
    host, _, path = match["url"].partition("/")
    words = list(_spelled_out(host.removeprefix("www."), grammar))
    if re.fullmatch(r"[A-Za-z-]+(?:/[A-Za-z-]+){0,2}/?", path):  # a longer one, or a query, is not for the ear
        words += _spelled_out("/" + path.rstrip("/"), grammar)
    return " ".join(words)


def _spelled_out(address: str, grammar: Grammar) -> Iterator[str]:
    signs: dict[str, str] = {".": grammar.dot, "@": grammar.at, "/": grammar.slash, "-": grammar.dash}
    signs |= {"_": grammar.underscore, "+": grammar.plus}
    pieces: list[str] = re.findall(r"[^\W_]+|.", address)
    for piece in pieces:
        yield signs.get(piece, piece)
