from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from engines.text import markup
from engines.text.mapped import Edit, MappedText, places, without_overlaps
from engines.text.normalizer import normalizer

WRITTEN = st.text(st.sampled_from("ab 1.$*_`#-|\n[](x)😀@:/"), min_size=1, max_size=60)


@st.composite
def edited(draw: st.DrawFn, text: str) -> list[Edit]:
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    words = st.sampled_from(["", "one", "one two", " x "])
    return [Edit(start, end, draw(words)) for start, end in zip(cuts[::2], cuts[1::2], strict=False)]


@given(WRITTEN, st.integers(0, 100))
def test_plain_text_stands_for_itself(text: str, offset: int) -> None:
    mapped = MappedText.of(text, offset)
    for match in re.finditer(r"\S+", text):
        assert mapped.source_of(*match.span()) == (match.start() + offset, match.end() + offset)


@given(st.data(), WRITTEN)
def test_rewrites_one_after_the_other_keep_the_way_back(data: st.DataObject, text: str) -> None:
    mapped = MappedText.of(text)
    for _ in range(data.draw(st.integers(1, 3))):
        edits = data.draw(edited(mapped.text))
        after = mapped.rewrite(edits)
        for edit, (start, end) in zip(edits, places(edits), strict=True):
            assert after.text[start:end] == edit.text
        mapped = after
    assert len(mapped.text) == len(mapped.starts) == len(mapped.ends)
    assert list(mapped.starts) == sorted(mapped.starts)
    assert list(mapped.ends) == sorted(mapped.ends)
    for group in mapped.groups():
        assert 0 <= group.source_start < group.source_end <= len(text)
    ends = [(group.source_start, group.source_end) for group in mapped.groups()]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ends))


@given(WRITTEN)
def test_every_spoken_word_stands_for_something_that_is_written(text: str) -> None:
    rules = normalizer("en-US")
    assert rules is not None
    mapped = MappedText.of(text).rewrite(markup.edits(text))
    mapped = mapped.rewrite(without_overlaps([], rules.edits(mapped.text)))
    words = [match.span() for match in re.finditer(r"\S+", mapped.text)]
    groups = mapped.groups()
    assert all(group.source_start < group.source_end for group in groups)
    assert {start for start, _ in words} >= {group.start for group in groups}
    # A character that was kept is in the span of its word.
    for start, end in words:
        source_start, source_end = mapped.source_of(start, end)
        kept = [at for at in range(start, end) if mapped.ends[at] - mapped.starts[at] == 1]
        assert all(source_start <= mapped.starts[at] < source_end for at in kept)


def test_words_that_are_spoken_for_one_that_is_written_are_together() -> None:
    text = "It costs $12.50."
    mapped = MappedText.of(text).rewrite([Edit(9, 15, "twelve dollars and fifty cents")])
    groups = mapped.groups()
    assert [text[group.source_start : group.source_end] for group in groups] == ["It", "costs", "$12.50."]
    assert (groups[-1].start, groups[-1].last_start) == (9, mapped.text.index("cents"))


def test_what_is_left_out_belongs_to_the_word_beside_it() -> None:
    text = "see **this** now"
    mapped = MappedText.of(text).rewrite([Edit(4, 6, ""), Edit(10, 12, "")])
    assert [text[each.source_start : each.source_end] for each in mapped.groups()] == ["see", "**this**", "now"]


def test_preferred_edits_go_before_others() -> None:
    edits = without_overlaps([Edit(4, 8, "a")], [Edit(0, 5, "b"), Edit(0, 4, "c"), Edit(7, 9, "d"), Edit(8, 9, "e")])
    assert [edit.text for edit in edits] == ["c", "a", "e"]


def test_a_stretch_keeps_its_way_back() -> None:
    mapped = MappedText.of("one two three", 10).cut(4, 7)
    assert (mapped.text, mapped.source_of(0, 3)) == ("two", (14, 17))
