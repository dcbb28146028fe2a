from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session.lexicons import text_cues
from session.sentence_ends import sentence_end


@pytest.mark.parametrize(
    ("goes_on", "may_be_all"),
    [
        ("We ordered a large.", "We ordered a large pizza."),
        ("My brother will.", "My brother will help."),
        ("We live in the house next", "We live in the house next door."),
        ("I would like to", "I would like that."),
    ],
)
def test_words_after_which_sentences_seldom_end_are_told_from_others(goes_on: str, may_be_all: str) -> None:
    before, after = (text_cues(text, "en").sentence_end for text in (goes_on, may_be_all))
    assert before < 0
    assert before + 0.5 < after


def test_the_word_before_counts_too() -> None:
    assert sentence_end("I think so", "en") > sentence_end("It is so", "en")
    assert sentence_end("Yes. I", "en") == sentence_end("I", "en") != sentence_end("Yes I", "en")


@pytest.mark.parametrize("language", ["pt", None, ""])
def test_nothing_is_known_of_other_languages(language: str | None) -> None:
    assert sentence_end("Three months.", language) == 0


def test_regions_and_apostrophes_are_no_other_words() -> None:
    assert sentence_end("Nothing you don’t", "en-US") == sentence_end("nothing you don't", "EN") != 0


KNOWN = ["the", "same", "i", "don't", "please", "very", "of", "course"]


@given(st.lists(st.sampled_from(KNOWN) | st.text(max_size=9), max_size=4), st.sampled_from(["en", "de", None]))
def test_whatever_is_said_has_a_bounded_cue(words: list[str], language: str | None) -> None:
    assert -4.5 <= sentence_end(" ".join(words), language) <= 2.5
