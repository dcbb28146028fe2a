from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from engines.word_alignment import PlacedWord, WordAligner, is_sound


def place(
    text: str, sentences: Sequence[str], spellings: Mapping[str, str] | None = None
) -> list[list[tuple[str, str]]]:
    """Each word with the phonemes it was given; a word sounds as it is written unless spelt otherwise."""
    aligner = WordAligner(text, lambda start, end: list((spellings or {}).get(text[start:end], text[start:end])))
    return [
        [(word.text, sentence[word.first : word.end]) for word in aligner.place(sentence, is_last=last)]
        for sentence, last in zip(sentences, [False] * (len(sentences) - 1) + [True], strict=True)
    ]


def test_words_that_sound_as_alone_are_found_exactly() -> None:
    assert place("Hello, big world.", ["Hello, big world."]) == [
        [("Hello,", "Hello"), ("big", "big"), ("world.", "world")]
    ]


def test_words_go_to_the_sentence_that_says_them() -> None:
    assert place("one two. three four. five", ["one two.", "three four.", "five"]) == [
        [("one", "one"), ("two.", "two")],
        [("three", "three"), ("four.", "four")],
        [("five", "five")],
    ]


def test_a_number_owns_all_it_is_read_as() -> None:
    assert place("in 2024 we", ["in twenty twenty-four we"], {"2024": "twenty twenty-four"}) == [
        [("in", "in"), ("2024", "twenty twenty-four"), ("we", "we")]
    ]


def test_words_run_together_are_told_apart() -> None:
    assert place("out of the way", ["out ovðə way"], {"of": "ov", "the": "ðə"}) == [
        [("out", "out"), ("of", "ov"), ("the", "ðə"), ("way", "way")]
    ]


def test_a_vowel_changed_in_context_stays_with_its_word() -> None:
    assert place("for a while", ["fə ɐ while"], {"for": "fɔ", "a": "e"}) == [
        [("for", "fə"), ("a", "ɐ"), ("while", "while")]
    ]


def test_what_is_not_heard_has_no_length_and_stands_after_what_came_before() -> None:
    text = "stop — go"
    aligner = WordAligner(text, lambda start, end: list(text[start:end]))
    assert aligner.place("stop go", is_last=True) == [
        PlacedWord("stop", 0, 4, 0, 4),
        PlacedWord("—", 5, 6, 4, 4),
        PlacedWord("go", 7, 9, 5, 7),
    ]


def test_the_last_sentence_takes_all_words_that_remain() -> None:
    assert place("a b …", ["a b"]) == [[("a", "a"), ("b", "b"), ("…", "")]]


def test_a_sentence_without_words_of_its_own_takes_none() -> None:
    assert place("one two", ["xyxyxy", "one two"]) == [[], [("one", "one"), ("two", "two")]]


def test_words_are_phonemised_a_little_ahead_and_once() -> None:
    asked: list[int] = []

    def phonemise(start: int, _: int) -> list[str]:
        asked.append(start)
        return list("abc")

    aligner = WordAligner("abc " * 100, phonemise)
    aligner.place("abc abc", is_last=False)
    assert len(asked) < 12
    aligner.place("abc " * 98, is_last=True)
    assert len(asked) == 100


def test_punctuation_and_space_are_not_sounds_but_stress_and_length_are() -> None:
    assert [phoneme for phoneme in " .,;:!?—\"'()aˈˌː̃5" if is_sound(phoneme)] == list("aˈˌː̃5")


@given(
    st.lists(st.lists(st.text("abcdefgh", min_size=1, max_size=8), min_size=1, max_size=8), min_size=1, max_size=6),
)
def test_every_word_is_placed_once_and_in_order(sentences: list[list[str]]) -> None:
    words = [word for sentence in sentences for word in sentence]
    text = "  ".join(words)
    aligner = WordAligner(text, lambda start, end: list(text[start:end]))
    placed: list[PlacedWord] = []
    for number, sentence in enumerate(sentences, start=1):
        spoken = " ".join(sentence)
        row = aligner.place(spoken, is_last=number == len(sentences))
        assert all(0 <= word.first <= word.end <= len(spoken) for word in row)
        assert all(before.end <= after.first for before, after in pairwise(row))
        placed += row
    assert [word.text for word in placed] == words
    assert all(text[word.text_start : word.text_end] == word.text for word in placed)
