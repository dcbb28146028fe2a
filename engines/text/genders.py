"""The gender of what is counted, as far as the ending of its plural tells: 21 habitaciones, 200 páginas."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from engines.text.numbers import Gender

_SPANISH_FEMININE: Final = re.compile(
    r".*(?:as|[cs]iones|dades|tades|tudes|umbres)|noches|veces|manos|fotos|motos|tardes|calles|llaves|clases|partes|"
    r"mujeres|flores|luces|voces|redes|leyes|torres|frases|series|bases|fuentes|imágenes|nubes|claves"
)
_PORTUGUESE_FEMININE: Final = re.compile(
    r".*(?:as|[çs]ões|dades|gens|tudes)|noites|vezes|tardes|mãos|mães|mulheres|flores|luzes|vozes|redes|leis|torres|"
    r"frases|séries|bases|partes|chaves|fotos|motos|nuvens"
)
_MASCULINE: Final = re.compile(
    r"(?:d[ií]|map|planet|sof|(?:proble|siste|te|idio|cli|dra|esque|poe|teore|dile|gra|fantas|panora|\w+gra)m)as|.*istas"
)
"""Plurals in ``-as`` that are, or, as *artistas*, may be."""
_PLURAL: Final = re.compile(r"\w{2,}[oeaõã]s|\w+[ãõ][eo]s|\w+[aeiou]is|\w+ns")
_NO_NOUNS: Final = frozenset(
    "antes apenas atrás cuales depois después detrás duas entonces entre menos mais pois pues quais seis tras tres "
    "três dois ellas ellos suas seus unas unos pelas pelos lunes martes miércoles jueves viernes".split()
)


def spanish_gender(word: str) -> Gender | None:
    """The gender of a plural; ``None`` of what is none."""
    return _gender(word, _SPANISH_FEMININE.fullmatch)


def portuguese_gender(word: str) -> Gender | None:
    """The gender of a plural; ``None`` of what is none."""
    return _gender(word, _PORTUGUESE_FEMININE.fullmatch)


def _gender(word: str, is_feminine: Callable[[str], object]) -> Gender | None:
    plural = word.lower()
    if plural in _NO_NOUNS or not _PLURAL.fullmatch(plural):
        return None
    return "feminine" if is_feminine(plural) and not _MASCULINE.fullmatch(plural) else "masculine"
