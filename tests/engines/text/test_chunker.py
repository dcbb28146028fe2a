from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engines.text.chunker import MAX_CHUNK_CHARS, TextChunker


def chunks_of(*pushes: str, max_chars: int = MAX_CHUNK_CHARS) -> list[str]:
    chunker = TextChunker(max_chars)
    return [chunk.text for push in pushes for chunk in chunker.push(push)] + [c.text for c in chunker.finish()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello there. How are you?", ["Hello there. ", "How are you?"]),
        ("It costs 3.14 euros. Really!", ["It costs 3.14 euros. ", "Really!"]),
        ("Dr. Smith met Mrs. Jones. They talked.", ["Dr. Smith met Mrs. Jones. ", "They talked."]),
        ("The U.S. Army is big. Yes.", ["The U.S. Army is big. ", "Yes."]),
        ("See e.g. the manual. Then go.", ["See e.g. the manual. ", "Then go."]),
        ("Am 3. Oktober ist frei. Gut.", ["Am 3. Oktober ist frei. ", "Gut."]),
        ("It was in 2024. Then it ended.", ["It was in 2024. ", "Then it ended."]),
        ('He said "Stop!" Then he left.', ['He said "Stop!" ', "Then he left."]),
        ("Wait... what? No. I mean yes.", ["Wait... ", "what? ", "No. ", "I mean yes."]),
        ("one\ntwo\n\nthree", ["one\n", "two\n\n", "three"]),
        ("こんにちは。元気ですか？はい", ["こんにちは。", "元気ですか？", "はい"]),
        ("“你好！”他说。什么？！好", ["“你好！”", "他说。", "什么？！", "好"]),
        ("「はい。」と言った。", ["「はい。」", "と言った。"]),
        ("Visit example.com today", ["Visit example.com today"]),
        ("", []),
    ],
)
def test_text_is_cut_after_sentences_and_nowhere_else(text: str, expected: list[str]) -> None:
    assert chunks_of(text) == expected


def test_a_sentence_comes_out_as_soon_as_the_next_one_begins() -> None:
    chunker = TextChunker()
    assert chunker.push("It is 3.") == []
    assert chunker.push("14 today. ") == []
    (chunk,) = chunker.push("A")
    assert chunk.text == "It is 3.14 today. "


def test_offsets_count_from_the_start_of_the_text() -> None:
    chunker = TextChunker()
    chunks = [*chunker.push("One two. Three four. "), *chunker.push("Five"), *chunker.finish()]
    assert [(chunk.start, chunk.text) for chunk in chunks] == [(0, "One two. "), (9, "Three four. "), (21, "Five")]


def test_a_text_without_an_end_is_cut_behind_a_clause() -> None:
    text = "word " * 8 + "clause, " + "word " * 8
    first, *_ = chunks_of(text, max_chars=60)
    assert first.endswith("clause, ")
    assert chunks_of("你" * 20 + "，" + "好" * 30, max_chars=30) == ["你" * 20 + "，", "好" * 30]


def test_a_text_without_clauses_is_cut_at_a_space() -> None:
    assert all(chunk.endswith(" ") for chunk in chunks_of("word " * 30, max_chars=33))


def test_a_word_longer_than_the_limit_is_cut() -> None:
    assert chunks_of("x" * 25, max_chars=10) == ["x" * 10, "x" * 10, "x" * 5]


TEXTS = st.text(alphabet=st.sampled_from("ab 1.,!?\n\"'。Dr"), max_size=120)


@given(TEXTS, st.lists(st.integers(0, 120), max_size=8), st.integers(8, 40))
@example(text="111111 ?1", cuts=[8], max_chars=8)
def test_pieces_do_not_depend_on_how_the_text_came_in(text: str, cuts: list[int], max_chars: int) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pushes = [text[start:end] for start, end in itertools.pairwise(places)]
    assert chunks_of(*pushes, max_chars=max_chars) == chunks_of(text, max_chars=max_chars)


@given(st.one_of(TEXTS, st.text(max_size=200)), st.integers(2, 60))
def test_pieces_joined_are_the_text_and_none_is_too_long(text: str, max_chars: int) -> None:
    pieces = chunks_of(text, max_chars=max_chars)
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= max_chars for piece in pieces)


@given(st.integers(0, 999), st.integers(0, 99), st.text(alphabet="ab ", max_size=30))
def test_a_decimal_number_is_never_split(whole: int, fraction: int, tail: str) -> None:
    number = f"{whole}.{fraction}"
    assert any(number in chunk for chunk in chunks_of(*f"It is {number} {tail}"))
