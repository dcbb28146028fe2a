"""Which recordings of a corpus are taken."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from evals.corpora.utterance import Utterance
from schemas.errors import ErrorCode, SpeechError


class Selection(Struct, frozen=True, kw_only=True):
    """Filters, all of which must agree; then a shard of what is left; then the first of that."""

    languages: tuple[str, ...] = ()
    """All if empty."""
    kinds: tuple[str, ...] = ()
    """All if empty."""
    min_s: float = 0.0
    max_s: float = float("inf")
    match: str = ""
    """A regular expression, searched for in the id."""
    shard: tuple[int, int] = (1, 1)
    """``(2, 5)`` takes the second of five parts."""
    limit: int | None = None

    def of(self, utterances: Iterable[Utterance]) -> list[Utterance]:
        """Those taken, ordered by id.

        Raises:
            SpeechError: ``invalid_request`` for an expression that is none.
        """
        try:
            pattern = re.compile(self.match)
        except re.error as error:
            raise SpeechError(ErrorCode.INVALID_REQUEST, f"--match is no regular expression: {error}.") from error
        number, of = self.shard
        wanted = sorted((one for one in utterances if self._has(one, pattern)), key=lambda one: one.id)
        return wanted[number - 1 :: of][: self.limit]

    def _has(self, one: Utterance, pattern: re.Pattern[str]) -> bool:
        return (
            (not self.languages or one.language in self.languages)
            and (not self.kinds or one.kind in self.kinds)
            and self.min_s <= one.duration_s <= self.max_s
            and pattern.search(one.id) is not None
        )


def shard(text: str) -> tuple[int, int]:
    """``2/5`` as numbers.

    Raises:
        ValueError: It is no part of anything.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"{text!r} is not of the form 2/5")
    return int(found[1]), int(found[2])
