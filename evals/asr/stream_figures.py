"""Recognition within a session, as figures: when words could be read, how they changed, when the turn ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from evals.asr.live import Streamed
from evals.asr.outcomes import Outcome
from evals.asr.words import counts_characters, normalised, score
from evals.corpora.utterance import Utterance
from evals.intervals import Estimate, quantile, ratio, ratio_change
from evals.report import Plot, Row, Section, Series
from evals.samples import Ratio, Sample

_LEAK_MIN_WORDS: Final = 3
_LEAK_MIN_CHARACTERS: Final = 8
_LEAK_ERRORS: Final = 0.5
"""Of the words of somebody else's recording: what has fewer wrong is that recording."""


class Streaming(Struct, frozen=True, kw_only=True):
    """A recording that was said to a session."""

    utterance: Utterance
    streamed: Streamed
    offline: Outcome
    """The same recording as a file."""
    leaked: bool
    """Whether the session got what was said in another."""

    @property
    def errors(self) -> tuple[int, int]:
        """Wrong words, and words."""
        scored = score(self.utterance.text or "", self.streamed.text, self.utterance.language)
        return scored.errors, scored.units

    @property
    def revised(self) -> tuple[int, int]:
        """Words shown in a partial that the next one, or the end, took back; and words of the end."""
        return revised_words(self.streamed), len(normalised(self.streamed.text, self.utterance.language).split())


def revised_words(streamed: Streamed) -> int:
    """Words of partials that the next partial of the same turn does not have in the same place.

    Over the words of the final text it is the unstable partial word ratio (Shangguan et al. 2020).
    """
    before: dict[int, list[str]] = {}
    revised = 0
    for turn, text in streamed.partials:
        words = text.lower().split()
        kept = before.get(turn, [])
        same = next((n for n, (old, new) in enumerate(zip(kept, words, strict=False)) if old != new), None)
        revised += len(kept) - (min(len(kept), len(words)) if same is None else same)
        before[turn] = words
    return revised


def leaks(texts: Sequence[tuple[Utterance, str]]) -> list[bool]:
    """For each text of a session, whether it is, or has besides its own words, what was said in another one."""
    found: list[bool] = []
    for own, text in texts:
        others = [foreign for foreign, _ in texts if foreign.id != own.id]
        strange = _strange(own, text)
        found.append(any(_is_of(foreign, own, text) or _is_in(foreign, own, strange) for foreign in others))
    return found


def _is_of(foreign: Utterance, own: Utterance, text: str) -> bool:
    words = normalised(foreign.text or "", foreign.language).split()
    if len(words) < _LEAK_MIN_WORDS or _rate(foreign, own.text or "") <= _LEAK_ERRORS:
        return False
    return _rate(foreign, text) < min(_LEAK_ERRORS, _rate(own, text))


def _strange(own: Utterance, text: str) -> str:
    """What a text has that was not said in its session."""
    marks = score(own.text or "", text, own.language).alignment
    return " ".join(mark.text for mark in marks if mark.kind in {"wrong", "extra"})


def _is_in(foreign: Utterance, own: Utterance, strange: str) -> bool:
    """Whether a stretch of it is what was said in another session, and not in its own as well."""
    words = normalised(foreign.text or "", foreign.language).split()
    most = min(_LEAK_ERRORS * len(words), len(words) - _least(foreign))
    return _errors_within(words, strange, foreign) <= most < _errors_within(words, own.text or "", foreign)


def _least(utterance: Utterance) -> int:
    return _LEAK_MIN_CHARACTERS if counts_characters(utterance.language) else _LEAK_MIN_WORDS


def _errors_within(words: Sequence[str], text: str, utterance: Utterance) -> int:
    """Words that are wrong, of the stretch of a text that is most like them (Sellers 1980)."""
    heard = normalised(text, utterance.language).split()
    before = [0] * (len(heard) + 1)
    for number, word in enumerate(words, 1):
        row = [number]
        for place, other in enumerate(heard):
            row.append(min(before[place] + (word != other), before[place + 1] + 1, row[place] + 1))
        before = row
    return min(before)


def _rate(utterance: Utterance, text: str) -> float:
    scored = score(utterance.text or "", text, utterance.language)
    return scored.errors / max(1, scored.units)


def stream_section(found: Sequence[Streaming], failed: int, took_s: float, parallel: int) -> Section:
    """All of it.

    Args:
        found: What came of the recordings.
        failed: Those that nothing came of.
        took_s: The section.
        parallel: Sessions at a time.
    """
    late_ms = max((one.streamed.late_ms for one in found), default=0.0)
    notes = (
        f"{len(found)} recordings said to sessions in real time, {parallel} at a time, and the same as files.",
        f"The latest frame was sent {late_ms:.0f} ms late.",
    )
    return Section(
        name="streaming",
        title="Recognition in sessions",
        notes=notes,
        rows=tuple(_rows(found, failed)),
        plots=tuple(_plots(found)),
        took_s=took_s,
    )


def _rows(found: Sequence[Streaming], failed: int) -> list[Row]:
    blocks = [one.utterance.block for one in found]
    live, offline = (
        [one.errors for one in found],
        [(one.offline.scored.errors, one.offline.scored.units) for one in found],
    )
    apart = ratio_change(_sides(offline), _sides(live), blocks)
    revised = _sides([one.revised for one in found])
    streamed = [one.streamed for one in found]
    return [
        *_latencies(
            "stream.first_partial", "First sound → first words", [one.first_partial_ms for one in streamed], blocks
        ),
        *_latencies(
            "stream.endpoint",
            "Last sound → turn.ended",
            [one.endpoint_ms for one in streamed],
            blocks,
            is_headline=True,
        ),
        Row(
            id="stream.revised",
            title="Words shown and taken back",
            unit="%",
            note="of the words of the final text (unstable partial word ratio)",
            estimate=ratio(*revised, blocks),
            better="lower",
        ),
        Row(
            id="stream.wer",
            title="Word error rate of sessions",
            unit="%",
            estimate=ratio(*_sides(live), blocks),
            beside={
                "the same as files": ratio(*_sides(offline), blocks),
                "difference": apart.change if apart else None,
            },
            better="lower",
        ),
        _zero("stream.unended", "Recordings whose turn did not end", [one.endpoint_ms is None for one in streamed]),
        _zero("stream.broken", "Partials that took back stable text", [one.broken_promises for one in streamed]),
        _zero("stream.leaks", "Sessions that got another's words", [one.leaked for one in found], hard=True),
        _zero("stream.lost", "Events lost or changed on resuming", [one.lost_events for one in streamed], hard=True),
        Row(
            id="stream.failed",
            title="Sessions that failed",
            estimate=Estimate(failed, failed, failed, len(found) + failed),
            hard_zero=True,
        ),
    ]


def _sides(pairs: Sequence[tuple[int, int]]) -> tuple[list[float], list[float]]:
    return [float(part) for part, _ in pairs], [float(whole) for _, whole in pairs]


def _latencies(
    row_id: str, title: str, values: Sequence[float | None], blocks: Sequence[str], *, is_headline: bool = False
) -> list[Row]:
    numbers = {block: number for number, block in enumerate(dict.fromkeys(blocks))}
    known = [value for value in values if value is not None]
    owners = [numbers[block] for value, block in zip(values, blocks, strict=True) if value is not None]
    median, tail = (quantile(known, q, owners) for q in (0.5, 0.95))
    return [
        Row(
            id=f"{row_id}_p50",
            title=f"{title}, median",
            unit="ms",
            estimate=median,
            better="lower",
            is_headline=is_headline,
        ),
        Row(id=f"{row_id}_p95", title="… 95th percentile", unit="ms", estimate=tail, better="lower"),
    ]


def _zero(row_id: str, title: str, counts: Sequence[int], *, hard: bool = False) -> Row:
    total = float(sum(counts))
    return Row(id=row_id, title=title, estimate=Estimate(total, total, total, len(counts)), hard_zero=hard)


def _plots(found: Sequence[Streaming]) -> list[Plot]:
    curves = {
        "first words": [one.streamed.first_partial_ms for one in found],
        "turn.ended": [one.streamed.endpoint_ms for one in found],
    }
    series = tuple(
        Series(name, tuple(value for value in values if value is not None))
        for name, values in curves.items()
        if any(value is not None for value in values)
    )
    if not series:
        return []
    return [
        Plot(
            title="First sound → first words, and last sound → turn.ended",
            x_label="ms",
            y_label="share of recordings",
            series=series,
            style="ecdf",
        )
    ]


def sample_of(one: Streaming) -> Sample:
    """For the comparison of two runs."""
    values = {"stream.first_partial": one.streamed.first_partial_ms, "stream.endpoint": one.streamed.endpoint_ms}
    return Sample(
        area="streaming",
        id=one.utterance.id,
        block=one.utterance.block,
        group={"language": one.utterance.language},
        ratios={"stream.wer": Ratio(*one.errors), "stream.revised": Ratio(*one.revised)},
        values={name: value for name, value in values.items() if value is not None},
        recording=one.utterance.fingerprint(),
        reference=one.utterance.text or "",
        hypothesis=one.streamed.text,
        audio=str(one.utterance.audio.resolve()) if not isinstance(one.utterance.audio, bytes) else "",
        channel=one.utterance.channel,
    )
