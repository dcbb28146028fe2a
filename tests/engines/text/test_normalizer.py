from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.speech_pipeline import Say, Script
from engines.text.mapped import MappedText, without_overlaps
from engines.text.normalizer import Normalizer, normalizer
from schemas.speech import SpeechOptions

CASES = Path(__file__).with_name("cases")
LANGUAGES = ["en-US", "en-GB", "de-DE", "es-ES", "es-MX", "fr-FR", "pt-BR", "pt-PT", "it-IT"]


def cases() -> list[tuple[str, str, str]]:
    files = [(path.stem, tomllib.loads(path.read_text("utf-8"))) for path in sorted(CASES.glob("*.toml"))]
    return [
        (language, written, spoken)
        for language, sections in files
        for section in sections.values()
        for written, spoken in section.items()
    ]


def spoken(text: str, language: str, options: SpeechOptions | None = None) -> str:
    parts = Script(text, language, options or SpeechOptions()).parts()
    return "".join(part.text.text for part in parts if isinstance(part, Say))


def rules(language: str) -> Normalizer:
    found = normalizer(language)
    assert found is not None
    return found


def test_there_are_as_many_cases_as_there_are_rules_to_try() -> None:
    assert len(cases()) >= 250
    assert {language[:2] for language, *_ in cases()} >= {"en", "de", "es", "fr", "pt", "it"}


@pytest.mark.parametrize(("language", "written", "said"), cases())
def test_what_is_written_is_spoken_so(language: str, written: str, said: str) -> None:
    assert spoken(written, language) == said


@pytest.mark.parametrize(("language", "written", "said"), cases())
def test_what_is_spoken_is_left_as_it_is(language: str, written: str, said: str) -> None:
    del written
    left_to_the_voice = any(char.isdecimal() for char in said) or "." in said[:-1]
    assert left_to_the_voice or spoken(said, language) == said


@pytest.mark.parametrize(("language", "written"), [case[:2] for case in cases()])
def test_written_text_can_be_left_to_the_voice(language: str, written: str) -> None:
    parts = list(Script(written, language, SpeechOptions(normalize=False)).parts())
    assert "".join(part.text.text for part in parts if isinstance(part, Say)) in {written, written.removesuffix("€")}


def test_languages_without_rules_are_left_to_the_voice() -> None:
    assert normalizer("nl-NL") is None
    assert spoken("**Het** kost €12,50 😀", "nl-NL") == "Het kost €12,50 "


@pytest.mark.parametrize("language", ["en_US", "EN-us", "en-Latn-US"])
def test_a_language_is_known_however_its_tag_is_written(language: str) -> None:
    assert spoken("11/24/2026", language) == "November twenty-fourth, twenty twenty-six"


@pytest.mark.parametrize(
    ("kind", "written", "form", "said"),
    [
        ("characters", "a1-b", "", "A one dash B"),
        ("spell-out", "NATO", "", "N A T O"),
        ("digits", "2026", "", "two zero two six"),
        ("telephone", "+1 555-0199", "", "plus one, five five five, zero one nine nine"),
        ("cardinal", "1,234", "", "one thousand two hundred thirty-four"),
        ("cardinal", "-2.5", "", "minus two point five"),
        ("ordinal", "3", "", "third"),
        ("date", "3/4/2026", "dmy", "April third, twenty twenty-six"),
        ("date", "3/4/2026", "", "March fourth, twenty twenty-six"),
        ("date", "2026-03-04", "", "March fourth, twenty twenty-six"),
        ("time", "9:05", "", "nine oh five"),
        ("currency", "$1.50", "", "one dollar and fifty cents"),
        ("currency", "3 EUR", "", "three euros"),
        ("cardinal", "many", "", None),
        ("ordinal", "-3", "", None),
        ("digits", "none", "", None),
        ("date", "tomorrow", "", None),
        ("date", "3/4/2026", "dm", None),
        ("date", "30/30/2026", "dmy", None),
        ("time", "9 o'clock", "", None),
        ("time", "25:00", "", None),
        ("currency", "12", "", None),
        ("currency", "$12x", "", None),
    ],
)
def test_a_text_of_a_known_kind_is_said_as_that(kind: str, written: str, form: str, said: str | None) -> None:
    assert rules("en-US").say_as(kind, written, form) == said


@given(
    st.sampled_from(LANGUAGES),
    st.text(st.sampled_from("0123456789.,:/-–+ $€£%°CkmhTJ#@()½IVXpa\u202f'\nSt"), max_size=40) | st.text(max_size=40),
)
def test_any_text_is_spoken_without_losing_its_way_back(language: str, text: str) -> None:
    edits = rules(language).edits(text)
    ordered = without_overlaps([], edits)
    assert len(ordered) == len(edits)
    assert all(0 <= edit.start < edit.end <= len(text) and edit.text for edit in edits)
    mapped = MappedText.of(text).rewrite(ordered)
    assert len(mapped.text) == len(mapped.starts) == len(mapped.ends)


@given(st.integers(0, 10**12 - 1), st.sampled_from(LANGUAGES))
def test_every_number_has_words_without_digits(number: int, language: str) -> None:
    said = spoken(f"x {number} x", language)
    assert said.startswith("x ")
    assert not any(char.isdigit() for char in said)


@given(st.dates(), st.sampled_from(LANGUAGES))
def test_every_date_has_words_without_digits(day: object, language: str) -> None:
    assert not any(char.isdigit() for char in spoken(f"x {day} x", language))
