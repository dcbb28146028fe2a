import pytest

from evals.asr.words import hits, normalised, score
from evals.report import Mark


def test_errors_are_counted_by_kind_after_normalisation() -> None:
    found = score("Three hundred people came.", "300 persons came in", "en")
    assert (found.substitutions, found.deletions, found.insertions, found.units) == (1, 0, 1, 3)
    assert found.errors == 2


def test_what_is_missing_is_a_deletion() -> None:
    found = score("he griff alles an", "alles an", "de")
    assert (found.deletions, found.units) == (2, 4)
    assert found.alignment == (Mark("missing", "he griff"), Mark("same", "alles an"))


@pytest.mark.parametrize(("language", "units", "errors"), [("ja", 5, 1), ("zh", 5, 1), ("ko", 5, 1)])
def test_characters_are_counted_in_languages_without_words(language: str, units: int, errors: int) -> None:
    found = score("東京へ行く", "東京に行く", language)
    assert (found.units, found.errors, found.characters, found.wrong_characters) == (units, errors, 5, 1)


def test_words_where_nobody_speaks_are_insertions() -> None:
    found = score("", "thank you", "en")
    assert (found.insertions, found.units, found.wrong_characters) == (2, 0, len("thank you"))
    assert score("", "", "en").errors == 0


def test_an_alignment_says_what_was_said() -> None:
    assert score("a cat sat", "a dog sat", "en").alignment == (
        Mark("same", "a"),
        Mark("wrong", "dog", "cat"),
        Mark("same", "sat"),
    )


def test_places_that_are_right_are_known_on_both_sides() -> None:
    assert hits(["a", "b", "c"], ["x", "a", "c"]) == ({0, 2}, {1, 2})
    assert hits([], ["a"]) == (set(), set())


def test_english_alone_has_its_spelling_evened_out() -> None:
    assert normalised("The colour, Mr. Smith!", "en") == "the color mister smith"
    assert normalised("Où est-il ?", "fr") == "où est il"
