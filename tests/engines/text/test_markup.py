from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.text import markup
from engines.text.mapped import MappedText


def plain(text: str) -> str:
    return MappedText.of(text).rewrite(markup.edits(text)).text


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("# Heading", "Heading."),
        ("## What now?", "What now?"),
        ("**bold** and *slanted* and ***both***", "bold and slanted and both"),
        ("__bold__ and _slanted_", "bold and slanted"),
        ("~~gone~~ is said", "gone is said"),
        ("call `run()` now", "call run() now"),
        ("**half of a sentence", "half of a sentence"),
        ("and the other half**", "and the other half"),
        ('[the docs](https://example.com/a_(b) "title").', "the docs."),
        ("[the docs][ref]", "the docs"),
        ("![a cat](cat.png)", "a cat"),
        ("a note[^1]", "a note"),
        ("<https://example.com>", "https://example.com"),
        ("<me@example.com>", "me@example.com"),
        ("one<br>two <b>three</b>", "onetwo three"),
        ("Q&amp;A &lt;3 &#39;x&#39;", "Q&A <3 'x'"),
        (r"\*not a list\*", "*not a list*"),
        ("- apples", "apples."),
        ("* pears!", "pears!"),
        ("+ plums,", "plums,"),
        ("- [x] done", "done."),
        ("- **a**: b", "a: b."),
        ("1. First", "1. First"),
        ("> quoted", "quoted"),
        (">> deeper", "deeper"),
        ("---", ""),
        ("* * *", ""),
        ("```python", ""),
        ("~~~", ""),
        ("| a | b |", " a, b."),
        ("|---|:-:|", ""),
        ("Great 😀!", "Great !"),
        ("👩‍👩‍👧 👍🏽 🇩🇪 ❤️ 1️⃣", "    1"),
    ],
)
def test_marks_are_left_out(written: str, spoken: str) -> None:
    assert plain(written) == spoken


@pytest.mark.parametrize(
    "text",
    [
        "5 * 3 = 15",
        "2*3*4",
        "2**3",
        "snake_case and a_b_c",
        "a - b",
        "It is -5.",
        "x < y > z",
        "if a<b and c>d",
        "#hashtag and #1",
        "[sic] and (this)",
        "AT&T & co.",
        "a | b",
        "© ® ™ ° § →",
        "50% off!",
        "~5 and ~ 5",
        "C:\\Users",
        "-- well --",
        "<3",
    ],
)
def test_what_could_be_text_stays(text: str) -> None:
    assert plain(text) == text


def test_a_text_falls_into_blocks_that_joined_are_the_text() -> None:
    text = "# Title\nwrapped\nline\n\nnext\n- one\n- two\n| a |\n```\nx\n```\n1. first\n"
    blocks = list(markup.blocks(text))
    assert [block for _, block in blocks] == [
        "# Title\nwrapped\nline\n",
        "\nnext\n",
        "- one\n",
        "- two\n",
        "| a |\n",
        "```\nx\n",
        "```\n",
        "1. first\n",
    ]
    assert all(text[offset:].startswith(block) for offset, block in blocks)


@given(st.text(st.sampled_from('a b*_`~#>|-+[]()<>!&;\\\n1.😀:/@"x'), max_size=60))
def test_any_marks_leave_letters_in_order(text: str) -> None:
    edits = markup.edits(text)
    assert all(edit.start < edit.end for edit in edits)
    assert all(before.end <= after.start for before, after in itertools.pairwise(edits))
    assert "".join(block for _, block in markup.blocks(text)) == text
