"""What was recognised held against what was said, word by word, normalised as the Whisper paper does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, cast

import jiwer
from msgspec import Struct
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

from evals.report import Mark

UNSPACED: Final = frozenset({"ja", "zh", "ko", "yue", "th", "lo", "my", "km", "bo"})
"""Languages in which characters are counted: they have no spaces between words, or (Korean) spell them freely."""


class Scored(Struct, frozen=True, kw_only=True):
    """One recording."""

    substitutions: int
    deletions: int
    insertions: int
    units: int
    """Words of what was said; characters in languages without spaces."""
    wrong_characters: int
    characters: int
    alignment: tuple[Mark, ...]

    @property
    def errors(self) -> int:
        """Units that are wrong, missing or too many."""
        return self.substitutions + self.deletions + self.insertions


@cache
def _normaliser(language: str) -> Callable[[str], str]:
    if language == "en":
        return cast("Any", EnglishTextNormalizer)()
    return cast("Any", BasicTextNormalizer)(split_letters=language in UNSPACED)


def normalised(text: str, language: str) -> str:
    """Without case, punctuation and, in English, spelling variants; numbers of English as digits."""
    return _normaliser(language)(text).strip()


def counts_characters(language: str) -> bool:
    """Whether the units of a language are characters."""
    return language in UNSPACED


def score(reference: str, hypothesis: str, language: str) -> Scored:
    """Hold a hypothesis against what was said."""
    said, heard = normalised(reference, language), normalised(hypothesis, language)
    found = _aligned(said.split(), heard.split())
    if language in UNSPACED:
        letters, heard_letters = said.replace(" ", ""), heard.replace(" ", "")
    else:
        letters, heard_letters = said, heard
    characters = cast("Any", jiwer).process_characters(letters, heard_letters) if said else None
    wrong = characters.substitutions + characters.deletions + characters.insertions if characters else len(heard)
    return Scored(
        substitutions=sum(len(mark.said.split()) for mark in found if mark.kind == "wrong"),
        deletions=sum(len(mark.text.split()) for mark in found if mark.kind == "missing"),
        insertions=sum(len(mark.text.split()) for mark in found if mark.kind == "extra"),
        units=len(said.split()),
        wrong_characters=wrong,
        characters=len(letters),
        alignment=found,
    )


def hits(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[set[int], set[int]]:
    """Places of the reference, and of the hypothesis, that are recognised rightly."""
    right: tuple[set[int], set[int]] = (set(), set())
    for kind, said, heard in _chunks(reference, hypothesis):
        if kind == "equal":
            right[0].update(said)
            right[1].update(heard)
    return right


def _aligned(said: Sequence[str], heard: Sequence[str]) -> tuple[Mark, ...]:
    marks: list[Mark] = []
    for kind, left, right in _chunks(said, heard):
        before = " ".join(said[place] for place in left)
        after = " ".join(heard[place] for place in right)
        match kind:
            case "equal":
                marks.append(Mark("same", before))
            case "substitute":
                marks.append(Mark("wrong", after, before))
            case "delete":
                marks.append(Mark("missing", before))
            case _:
                marks.append(Mark("extra", after))
    return tuple(marks)


def _chunks(said: Sequence[str], heard: Sequence[str]) -> list[tuple[str, range, range]]:
    if not said:  # jiwer will not have it
        return [("insert", range(0), range(len(heard)))] if heard else []
    found = cast("Any", jiwer).process_words(" ".join(said), " ".join(heard))
    return [
        (chunk.type, range(chunk.ref_start_idx, chunk.ref_end_idx), range(chunk.hyp_start_idx, chunk.hyp_end_idx))
        for chunk in found.alignments[0]
    ]
