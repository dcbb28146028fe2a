from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.demo.wording import says, word_errors, words_of

texts = st.lists(st.sampled_from(["one", "two", "three", "it's"]), max_size=8).map(" ".join)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("And so, my fellow Americans: ask not…", ("and", "so", "my", "fellow", "americans", "ask", "not")),
        ("It’s “quoted” — isn't it?", ("it's", "quoted", "isn't", "it")),
        ("Straße, naïve, 3rd", ("strasse", "naïve", "3rd")),
        (" … ", ()),
    ],
)
def test_case_punctuation_and_typography_do_not_count(text: str, words: tuple[str, ...]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("expected", "actual", "errors"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a x c", 1),
        ("a b c", "a c", 1),
        ("a b", "a b c d", 2),
        ("", "a", 1),
        ("a", "", 1),
    ],
)
def test_word_errors_are_substitutions_insertions_and_deletions(expected: str, actual: str, errors: int) -> None:
    assert word_errors(expected, actual) == errors


@given(texts, texts)
def test_word_errors_are_a_distance(one: str, other: str) -> None:
    assert word_errors(one, other) == word_errors(other, one)
    assert (word_errors(one, other) == 0) == (words_of(one) == words_of(other))
    assert word_errors(one, other) <= max(len(words_of(one)), len(words_of(other)))


def test_one_word_in_ten_may_differ() -> None:
    assert says("he was not an ill disposed young man", "he was not an ill imposed young man")
    assert not says("he was not an ill disposed young man", "she was not an ill imposed young man")
    assert says("word " * 30, "word " * 27)
    assert not says("word " * 30, "word " * 26)
    assert not says("good morning to you", "")
