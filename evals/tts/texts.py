"""Sentences with numbers, dates, units and names, and what a recogniser understands where they are read well."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Final

import msgspec
from msgspec import Struct

KINDS: Final = ("number", "date", "unit", "name")
LANGUAGES: Final = ("de", "en", "es", "fr", "pt")


class Sentence(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that voices often read wrongly."""

    text: str
    heard: tuple[str, ...]
    """Any of these, within what was understood, shows that it was read well."""
    kind: str = ""
    """One of :data:`KINDS`."""


def sentences(language: str) -> tuple[Sentence, ...]:
    """All sentences of a language, kinds in turn: any beginning of them has some of each.

    Args:
        language: One of :data:`LANGUAGES`; others have none.
    """
    if language not in LANGUAGES:
        return ()
    raw = tomllib.loads(files("evals.tts").joinpath(f"texts/{language}.toml").read_text("utf-8"))
    by_kind = [
        [msgspec.structs.replace(msgspec.convert(entry, Sentence), kind=kind) for entry in raw[kind]] for kind in KINDS
    ]
    places = range(max(map(len, by_kind)))
    return tuple(group[place] for place in places for group in by_kind if place < len(group))
