"""Spanish, French, Portuguese and Italian."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from engines.text.genders import portuguese_gender, spanish_gender
from engines.text.grammar import Currency, Grammar, Noun, Rule
from engines.text.numbers import Gender, Numbers

_M: Final[Gender] = "masculine"
_F: Final[Gender] = "feminine"
_DOT_DECIMALS: Final = frozenset("MX US GT HN NI PA PR DO SV".split())
"""Where Spanish writes 12.50."""


def spanish(region: str) -> Grammar:
    """Spanish of a region, ISO 3166."""
    numbers = Numbers("es", digit_by_digit=False)
    months = "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split()
    has_dot = region in _DOT_DECIMALS

    def spoken(day: date, with_year: bool) -> str:  # noqa: FBT001 (a Grammar's signature)
        year = f" de {numbers.cardinal(day.year)}" if with_year else ""
        return f"{numbers.cardinal(day.day)} de {months[day.month - 1]}{year}"

    def time(hour: int, minute: int) -> str:
        hours = numbers.cardinal(hour, _F)
        if minute:
            return f"{hours} y {numbers.cardinal(minute)}"
        return hours if hour == 1 else f"{hours} horas"

    cents = Noun("centavo", "centavos", _M)
    dollar = Currency(Noun("dólar", "dólares", _M), cents)
    euro = Currency(Noun("euro", "euros", _M), Noun("céntimo", "céntimos", _M))
    yen = Currency(Noun("yen", "yenes", _M))
    pound = Currency(Noun("libra", "libras", _F), Noun("penique", "peniques", _M))
    return Grammar(
        numbers=numbers,
        decimal="." if has_dot else ",",
        groups=",\u00a0\u202f" if has_dot else ".\u00a0\u202f",
        point="punto" if has_dot else "coma",
        minus="menos",
        to="a",
        conjunction="con",
        dot="punto",
        at="arroba",
        slash="barra",
        dash="guion",
        underscore="guion bajo",
        hashtag="hashtag",
        plus="más",
        of_millions="de",
        units={
            "%": Noun("por ciento", "por ciento"),
            "°C": Noun("grado Celsius", "grados Celsius", _M),
            "°": Noun("grado", "grados", _M),
            "km/h": Noun("kilómetro por hora", "kilómetros por hora", _M),
            "km²": Noun("kilómetro cuadrado", "kilómetros cuadrados", _M),
            "m²": Noun("metro cuadrado", "metros cuadrados", _M),
            "km": Noun("kilómetro", "kilómetros", _M),
            "m": Noun("metro", "metros", _M),
            "cm": Noun("centímetro", "centímetros", _M),
            "mm": Noun("milímetro", "milímetros", _M),
            "kg": Noun("kilogramo", "kilogramos", _M),
            "g": Noun("gramo", "gramos", _M),
            "mg": Noun("miligramo", "miligramos", _M),
            "l": Noun("litro", "litros", _M),
            "ml": Noun("mililitro", "mililitros", _M),
            "min": Noun("minuto", "minutos", _M),
            "h": Noun("hora", "horas", _F),
            "MB": Noun("megabyte", "megabytes", _M),
            "GB": Noun("gigabyte", "gigabytes", _M),
            "TB": Noun("terabyte", "terabytes", _M),
        },
        currencies={
            "€": euro,
            "EUR": euro,
            "$": dollar,
            "USD": dollar,
            "£": pound,
            "¥": yen,
        },
        titles={
            "Sr.": "señor",
            "Sra.": "señora",
            "Srta.": "señorita",
            "Dr.": "doctor",
            "Dra.": "doctora",
            "Prof.": "profesor",
        },
        abbreviations={
            r"p\.\s?ej\.": "por ejemplo",
            r"[Aa]v(?:d?a)?\.(?=\s+\w)": "avenida",
            r"[Cc]tra\.(?=\s+\w)": "carretera",
            r"(?:[Pp]za|[Pp]lza)\.(?=\s+\w)": "plaza",
            r"(?:n\.º|núm\.|nº)(?=\s?\d)": "número",
        },
        endings={r"etc\.": "etcétera", r"EE\.\s?UU\.": "Estados Unidos", r"Uds\.": "ustedes", r"Ud\.": "usted"},
        date=spoken,
        time=time,
        clock_suffix=r"\s?h(?:rs?)?\b\.?",
        ordinal_forms={"º": "-masculine", "ª": "-feminine", "er": "-masculine-adjective"},
        gender_of=spanish_gender,
        month_first=False,
    )


def french(_: str) -> Grammar:
    """French of any region."""
    numbers = Numbers("fr", digit_by_digit=False)
    months = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split()

    def spoken(day: date, with_year: bool) -> str:  # noqa: FBT001
        year = f" {numbers.cardinal(day.year)}" if with_year else ""
        return f"{'premier' if day.day == 1 else numbers.cardinal(day.day)} {months[day.month - 1]}{year}"

    def time(hour: int, minute: int) -> str:
        minutes = f" {numbers.cardinal(minute, _F)}" if minute else ""
        return f"{numbers.cardinal(hour, _F)} {'heure' if hour < 2 else 'heures'}{minutes}"  # noqa: PLR2004

    def clock(match: re.Match[str], grammar: Grammar) -> str | None:
        hour, minute = int(match["hour"]), int(match["minute"] or 0)
        return grammar.time(hour, minute) if hour < 24 and minute < 60 else None  # noqa: PLR2004

    euro = Currency(Noun("euro", "euros", _M), Noun("centime", "centimes", _M))
    dollar = Currency(Noun("dollar", "dollars", _M), Noun("cent", "cents", _M))
    yen = Currency(Noun("yen", "yens", _M))
    pound = Currency(Noun("livre", "livres", _F), Noun("penny", "pence", _M))
    return Grammar(
        numbers=numbers,
        decimal=",",
        groups=" \u00a0\u202f",
        point="virgule",
        minus="moins",
        to="à",
        conjunction="et",
        dot="point",
        at="arobase",
        slash="barre oblique",
        dash="tiret",
        underscore="tiret bas",
        hashtag="hashtag",
        of_millions="d'",
        units={
            "%": Noun("pour cent", "pour cent"),
            "°C": Noun("degré Celsius", "degrés Celsius", _M),
            "°": Noun("degré", "degrés", _M),
            "km/h": Noun("kilomètre par heure", "kilomètres par heure", _M),
            "km²": Noun("kilomètre carré", "kilomètres carrés", _M),
            "m²": Noun("mètre carré", "mètres carrés", _M),
            "km": Noun("kilomètre", "kilomètres", _M),
            "m": Noun("mètre", "mètres", _M),
            "cm": Noun("centimètre", "centimètres", _M),
            "mm": Noun("millimètre", "millimètres", _M),
            "kg": Noun("kilogramme", "kilogrammes", _M),
            "g": Noun("gramme", "grammes", _M),
            "mg": Noun("milligramme", "milligrammes", _M),
            "l": Noun("litre", "litres", _M),
            "ml": Noun("millilitre", "millilitres", _M),
            "min": Noun("minute", "minutes", _F),
            "Mo": Noun("mégaoctet", "mégaoctets", _M),
            "Go": Noun("gigaoctet", "gigaoctets", _M),
            "To": Noun("téraoctet", "téraoctets", _M),
        },
        currencies={
            "€": euro,
            "EUR": euro,
            "$": dollar,
            "USD": dollar,
            "£": pound,
            "¥": yen,
        },
        titles={"M.": "Monsieur", "Mme": "Madame", "Mlle": "Mademoiselle", "Dr": "Docteur", "Pr": "Professeur"},
        abbreviations={
            r"p\.\s?ex\.": "par exemple",
            r"[Aa]v\.(?=\s+\w)": "avenue",
            r"c\.-à-d\.": "c'est-à-dire",
            r"env\.(?=\s+\d)": "environ",
            r"(?:n°|nº)(?=\s?\d)": "numéro",
        },
        endings={r"etc\.": "et cetera"},
        date=spoken,
        time=time,
        rules=(Rule(re.compile(r"(?<![\w.,:/-])(?P<hour>\d{1,2})\s?h(?:\s?(?P<minute>[0-5]\d))?(?![\w-])"), clock),),
        ordinal_forms={
            "er": "-masculine",
            "re": "-feminine",
            "ère": "-feminine",
            "e": "-masculine",
            "ème": "-masculine",
        },
        month_first=False,
        is_one=lambda amount: amount < 2,  # noqa: PLR2004 (1,5 litre)
    )


def portuguese(region: str) -> Grammar:
    """Portuguese of a region, ISO 3166."""
    numbers = Numbers("pt_PT" if region == "PT" else "pt", digit_by_digit=False)
    months = "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro".split()

    def spoken(day: date, with_year: bool) -> str:  # noqa: FBT001
        year = f" de {numbers.cardinal(day.year)}" if with_year else ""
        return f"{'primeiro' if day.day == 1 else numbers.cardinal(day.day)} de {months[day.month - 1]}{year}"

    def time(hour: int, minute: int) -> str:
        hours = numbers.cardinal(hour, _F)
        return f"{hours} e {numbers.cardinal(minute)}" if minute else f"{hours} {'hora' if hour == 1 else 'horas'}"

    def clock(match: re.Match[str], grammar: Grammar) -> str | None:
        hour, minute = int(match["hour"]), int(match["minute"] or 0)
        return grammar.time(hour, minute) if hour < 24 and minute < 60 else None  # noqa: PLR2004

    cents = Noun("centavo", "centavos", _M)
    euro = Currency(Noun("euro", "euros", _M), Noun("cêntimo", "cêntimos", _M))
    dollar = Currency(Noun("dólar", "dólares", _M), cents)
    real = Currency(Noun("real", "reais", _M), cents)
    pound = Currency(Noun("libra", "libras", _F), Noun("pêni", "pence", _M))
    return Grammar(
        numbers=numbers,
        decimal=",",
        groups=".\u00a0\u202f",
        point="vírgula",
        minus="menos",
        to="a",
        conjunction="e",
        dot="ponto",
        at="arroba",
        slash="barra",
        dash="hífen",
        underscore="sublinhado",
        hashtag="hashtag",
        plus="mais",
        of_millions="de",
        units={
            "%": Noun("por cento", "por cento"),
            "°C": Noun("grau Celsius", "graus Celsius", _M),
            "°": Noun("grau", "graus", _M),
            "km/h": Noun("quilômetro por hora", "quilômetros por hora", _M),
            "km²": Noun("quilômetro quadrado", "quilômetros quadrados", _M),
            "m²": Noun("metro quadrado", "metros quadrados", _M),
            "km": Noun("quilômetro", "quilômetros", _M),
            "m": Noun("metro", "metros", _M),
            "cm": Noun("centímetro", "centímetros", _M),
            "mm": Noun("milímetro", "milímetros", _M),
            "kg": Noun("quilo", "quilos", _M),
            "g": Noun("grama", "gramas", _M),
            "mg": Noun("miligrama", "miligramas", _M),
            "l": Noun("litro", "litros", _M),
            "ml": Noun("mililitro", "mililitros", _M),
            "min": Noun("minuto", "minutos", _M),
            "MB": Noun("megabyte", "megabytes", _M),
            "GB": Noun("gigabyte", "gigabytes", _M),
            "TB": Noun("terabyte", "terabytes", _M),
        },
        currencies={
            "€": euro,
            "EUR": euro,
            "R$": real,
            "BRL": real,
            "$": dollar,
            "US$": dollar,
            "USD": dollar,
            "£": pound,
        },
        titles={"Sr.": "senhor", "Sra.": "senhora", "Dr.": "doutor", "Dra.": "doutora", "Prof.": "professor"},
        abbreviations={
            r"p\.\s?ex\.": "por exemplo",
            r"[Aa]v\.(?=\s+\w)": "avenida",
            r"nº(?=\s?\d)": "número",
        },
        endings={r"etc\.": "et cetera"},
        date=spoken,
        time=time,
        rules=(Rule(re.compile(r"(?<![\w.,:/-])(?P<hour>\d{1,2})\s?h(?:(?P<minute>[0-5]\d))?(?![\w-])"), clock),),
        ordinal_forms={"º": "-masculine", "ª": "-feminine"},
        gender_of=portuguese_gender,
        month_first=False,
    )


def italian(_: str) -> Grammar:
    """Italian of any region."""
    numbers = Numbers("it", digit_by_digit=False, tens_have_gender=False)
    months = "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre".split()

    def spoken(day: date, with_year: bool) -> str:  # noqa: FBT001
        year = f" {numbers.cardinal(day.year)}" if with_year else ""
        return f"{'primo' if day.day == 1 else numbers.cardinal(day.day)} {months[day.month - 1]}{year}"

    def time(hour: int, minute: int) -> str:
        hours = numbers.cardinal(hour, _F)
        return f"{hours} e {numbers.cardinal(minute)}" if minute else hours

    euro = Currency(Noun("euro", "euro", _M), Noun("centesimo", "centesimi", _M))
    dollar = Currency(Noun("dollaro", "dollari", _M), Noun("centesimo", "centesimi", _M))
    yen = Currency(Noun("yen", "yen", _M))
    pound = Currency(Noun("sterlina", "sterline", _F), Noun("penny", "pence", _M))
    return Grammar(
        numbers=numbers,
        decimal=",",
        groups=".\u00a0\u202f",
        point="virgola",
        minus="meno",
        to="a",
        conjunction="e",
        dot="punto",
        at="chiocciola",
        slash="barra",
        dash="trattino",
        underscore="trattino basso",
        hashtag="hashtag",
        plus="più",
        of_millions="di",
        units={
            "%": Noun("per cento", "per cento"),
            "°C": Noun("grado Celsius", "gradi Celsius", _M),
            "°": Noun("grado", "gradi", _M),
            "km/h": Noun("chilometro all'ora", "chilometri all'ora", _M),
            "km²": Noun("chilometro quadrato", "chilometri quadrati", _M),
            "m²": Noun("metro quadrato", "metri quadrati", _M),
            "km": Noun("chilometro", "chilometri", _M),
            "m": Noun("metro", "metri", _M),
            "cm": Noun("centimetro", "centimetri", _M),
            "mm": Noun("millimetro", "millimetri", _M),
            "kg": Noun("chilo", "chili", _M),
            "g": Noun("grammo", "grammi", _M),
            "mg": Noun("milligrammo", "milligrammi", _M),
            "l": Noun("litro", "litri", _M),
            "ml": Noun("millilitro", "millilitri", _M),
            "min": Noun("minuto", "minuti", _M),
            "MB": Noun("megabyte", "megabyte", _M),
            "GB": Noun("gigabyte", "gigabyte", _M),
            "TB": Noun("terabyte", "terabyte", _M),
        },
        currencies={
            "€": euro,
            "EUR": euro,
            "$": dollar,
            "USD": dollar,
            "£": pound,
            "¥": yen,
        },
        titles={
            "sig.ra": "signora",
            "Sig.ra": "signora",
            "sig.": "signor",
            "Sig.": "signor",
            "dott.ssa": "dottoressa",
            "Dott.ssa": "dottoressa",
            "dott.": "dottor",
            "Dott.": "dottor",
            "prof.": "professor",
            "Prof.": "professor",
        },
        abbreviations={
            r"ad es\.": "ad esempio",
            r"p\.\s?es\.": "per esempio",
            r"n\.(?=\s?\d)": "numero",
        },
        endings={r"ecc\.": "eccetera"},
        date=spoken,
        time=time,
        ordinal_forms={"º": "-masculine", "ª": "-feminine"},
        month_first=False,
    )
