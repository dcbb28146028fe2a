from __future__ import annotations

import pytest

from engines.text.lexicon import Lexicon, lexicon
from engines.text.mapped import Edit
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import LexiconEntry


def says(**words: str) -> tuple[LexiconEntry, ...]:
    return tuple(LexiconEntry(word=word, say=say) for word, say in words.items())


def test_words_are_found_whole_and_in_any_case() -> None:
    found = Lexicon(says(sql="sequel")).edits("SQL, MySQL and sql-based")
    assert found == [Edit(0, 3, "sequel"), Edit(15, 18, "sequel")]


def test_words_are_found_among_others_in_scripts_without_spaces() -> None:
    entries = (LexiconEntry(word="重庆", say="崇庆"), LexiconEntry(word="nginx", say="engine x"))
    assert [edit.start for edit in Lexicon(entries).edits("我在重庆用nginx吗")] == [2, 5]


def test_a_longer_phrase_goes_before_its_words() -> None:
    entries = (LexiconEntry(word="York", say="york"), LexiconEntry(word="New York", say="the city"))
    assert [edit.text for edit in Lexicon(entries).edits("New\n York, York")] == ["the city", "york"]


def test_of_equal_words_the_first_counts() -> None:
    entries = (LexiconEntry(word="Live", say="liv"), LexiconEntry(word="live", say="laiv"))
    assert Lexicon(entries).edits("live")[0].text == "liv"


def test_case_tells_words_apart_if_it_is_to() -> None:
    entries = (LexiconEntry(word="US", say="U S", match_case=True),)
    assert [edit.start for edit in Lexicon(entries).edits("us and US")] == [7]


def test_ipa_leaves_the_text_and_says_how() -> None:
    entries = (LexiconEntry(word="tomato", ipa="təˈmɑːtoʊ"),)
    assert Lexicon(entries).edits("A Tomato") == [Edit(2, 8, "Tomato", "təˈmɑːtoʊ")]


def test_words_with_signs_are_words() -> None:
    assert [edit.start for edit in Lexicon((LexiconEntry(word="C++", say="see plus plus"),)).edits("In C++ now")] == [3]


def test_no_entries_change_nothing() -> None:
    assert lexicon(()).edits("anything") == []


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (LexiconEntry(word="a"), "either say or ipa"),
        (LexiconEntry(word="a", say="b", ipa="b"), "either say or ipa"),
        (LexiconEntry(word="?!", say="what"), "no letter or digit"),
        (LexiconEntry(word="a", say="..."), "nothing to say"),
        (LexiconEntry(word="a", ipa="HELLO"), "E H L O, which is not IPA"),
        (LexiconEntry(word="a", ipa="/ə/"), "without slashes"),
        (LexiconEntry(word="a", ipa="ˈ"), "no sound"),
    ],
)
def test_what_is_wrong_with_an_entry_is_said(entry: LexiconEntry, why: str) -> None:
    with pytest.raises(SpeechError, match=why) as raised:
        Lexicon((entry,))
    assert (raised.value.code, raised.value.param) == (ErrorCode.INVALID_REQUEST, "lexicon")
