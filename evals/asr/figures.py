"""Recognition as figures: rows, tables by group, plots and the worst recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import sqrt
from typing import Final

from evals.asr.calibration import Belief, calibration_error, reliability
from evals.asr.outcomes import Outcome
from evals.asr.words import counts_characters
from evals.clip import mono_mp3
from evals.figures import roughness
from evals.intervals import POWER_Z, Estimate, quantile, ratio
from evals.report import Case, Measured, Plot, Row, Section, Series, Table
from schemas.audio import SESSION_RATE_HZ

_CASES: Final = 12
_CASE_S: Final = 30.0
_UNITS: Final = "words; characters in Japanese, Chinese, Korean and others without spaces"
_NORMALISED: Final = "Texts are normalised as in the Whisper paper, by whisper-normalizer, and aligned by jiwer."
_MANY: Final = 2


def section(
    found: Sequence[Outcome], words: Sequence[Belief], failed: Estimate, took_s: float, notes: Sequence[str]
) -> Section:
    """All that is known of recognition, recording by recording.

    Args:
        found: What came of the recordings.
        words: With their probabilities, as far as they were asked for.
        failed: Requests that nothing came of.
        took_s: The section.
        notes: What else is to be said.
    """
    speech = [one for one in found if one.is_speech]
    silent = [one for one in found if not one.is_speech]
    wer = _ratio(speech, _errors)
    counts = (
        f"{len(speech)} recordings with speech, {sum(one.duration_s for one in speech) / 60:.1f} minutes; "
        f"{len(silent)} without, {sum(one.duration_s for one in silent) / 60:.1f} minutes. {_NORMALISED}"
    )
    return Section(
        name="asr",
        title="Recognition",
        notes=(counts, *_speakers(found), *filter(None, (roughness(wer, "speakers"),)), *_detectable(wer), *notes),
        rows=tuple(_rows(found, speech, silent, wer, words, failed)),
        tables=tuple(_tables(speech, silent)),
        plots=tuple(_plots(speech, words)),
        cases=tuple(_cases(found)),
        case_note="Struck through: as it was said. Highlighted: as it was recognised.",
        took_s=took_s,
    )


def _rows(
    found: Sequence[Outcome],
    speech: Sequence[Outcome],
    silent: Sequence[Outcome],
    wer: Estimate | None,
    words: Sequence[Belief],
    failed: Estimate,
) -> list[Row]:
    known = [one for one in speech if one.knows_language]
    blocks = {block: number for number, block in enumerate(dict.fromkeys(one.utterance.block for one in found))}
    owners = [blocks[one.utterance.block] for one in found]
    took_ms = [1000 * one.heard.took_s for one in found]
    return [
        Row(
            id="asr.wer",
            is_headline=True,
            title="Word error rate",
            unit="%",
            note=_UNITS,
            estimate=wer,
            better="lower",
        ),
        Row(id="asr.sub", title="… substitutions", unit="%", estimate=_ratio(speech, _substitutions)),
        Row(id="asr.del", title="… deletions", unit="%", estimate=_ratio(speech, _deletions)),
        Row(id="asr.ins", title="… insertions", unit="%", estimate=_ratio(speech, _insertions)),
        Row(id="asr.cer", title="Character error rate", unit="%", estimate=_ratio(speech, _characters), better="lower"),
        Row(
            id="asr.names",
            title="Names recognised",
            unit="%",
            note="those that the corpus names; if it names none, what has a capital letter within a sentence",
            estimate=_ratio(speech, lambda one: (one.names.right, one.names.of)),
            better="higher",
        ),
        Row(
            id="asr.digits",
            title="Numbers recognised",
            unit="%",
            note="as digits, which normalisation makes of English numerals",
            estimate=_ratio(speech, lambda one: (one.numbers.right, one.numbers.of)),
            better="higher",
        ),
        Row(
            id="asr.invented",
            is_headline=True,
            title="Words a minute where nobody speaks",
            note="recordings of noise and silence; characters if it takes them for a language without spaces",
            estimate=_ratio(silent, lambda one: (one.invented_words, one.duration_s / 60)),
            better="lower",
        ),
        Row(
            id="asr.language",
            title="Language identified",
            unit="%",
            estimate=_ratio(known, lambda one: (float(one.detected == one.utterance.language), 1.0)),
            note="" if known else "not asked for, or the target cannot tell",
            better="higher",
        ),
        Row(
            id="asr.calibration",
            title="Calibration error of word probabilities",
            unit="%",
            note="expected difference between a word's probability and the share of such words that are right"
            if words
            else "not asked for, or the target does not tell",
            estimate=calibration_error(words),
        ),
        Row(
            id="asr.rtfx",
            title="RTFx: seconds of speech a second, a request",
            estimate=_ratio(speech, lambda one: (one.duration_s, one.heard.took_s)),
            better="higher",
        ),
        Row(
            id="asr.latency_p50",
            is_headline=True,
            title="A recording's transcript, median",
            unit="ms",
            estimate=quantile(took_ms, 0.5, owners),
            better="lower",
        ),
        Row(
            id="asr.latency_p95",
            title="… 95th percentile",
            unit="ms",
            estimate=quantile(took_ms, 0.95, owners),
            better="lower",
        ),
        Row(
            id="asr.failed",
            title="Requests that were answered with an error",
            note="for texts, languages and probabilities",
            estimate=failed,
            hard_zero=True,
        ),
    ]


Counted = Callable[[Outcome], tuple[float, float]]


def _errors(one: Outcome) -> tuple[float, float]:
    return one.scored.errors, one.scored.units


def _substitutions(one: Outcome) -> tuple[float, float]:
    return one.scored.substitutions, one.scored.units


def _deletions(one: Outcome) -> tuple[float, float]:
    return one.scored.deletions, one.scored.units


def _insertions(one: Outcome) -> tuple[float, float]:
    return one.scored.insertions, one.scored.units


def _characters(one: Outcome) -> tuple[float, float]:
    return one.scored.wrong_characters, one.scored.characters


def _ratio(found: Sequence[Outcome], counted: Counted) -> Estimate | None:
    pairs = [counted(one) for one in found]
    return ratio([part for part, _ in pairs], [whole for _, whole in pairs], [one.utterance.block for one in found])


def _exact(found: Sequence[Outcome], counted: Counted) -> Estimate | None:
    """Without an interval, where there is no room for one."""
    pairs = [counted(one) for one in found]
    part, whole = (sum(side) for side in zip(*pairs, strict=True))
    return Estimate(part / whole, part / whole, part / whole, len(pairs)) if whole else None


def _speakers(found: Sequence[Outcome]) -> list[str]:
    nameless = sum(not one.utterance.speaker for one in found)
    if not nameless:
        return []
    return [f"The corpus does not say who speaks in {nameless} recordings: each of them is drawn by itself."]


def _detectable(wer: Estimate | None) -> list[str]:
    if wer is None or wer.is_unsure:
        return []
    # Of two runs that are not paired; pairs tell more.
    points = 100 * POWER_Z * sqrt(2) * (wer.high - wer.low) / (2 * 1.96)
    return [
        (
            f"A change of the word error rate of {points:.1f} points would be found four times in five by another "
            "run on recordings like these. On these same recordings, pair by pair, much less is enough: "
            "antiphon eval compare says how little."
        )
    ]


def _tables(speech: Sequence[Outcome], silent: Sequence[Outcome]) -> list[Table]:
    tables = [
        _table("By language", "language", speech, lambda one: one.utterance.language),
        _table("By kind", "kind", speech, lambda one: one.utterance.kind),
        _table(
            "By signal-to-noise ratio",
            "ratio",
            speech,
            lambda one: one.snr,
            "Of the louder half of the frames to the quietest tenth, unless the corpus says.",
        ),
    ]
    if silent:
        tables.append(_invented(silent))
    if confused := _confusions(speech):
        tables.append(confused)
    return [table for table in tables if table.rows]


def _table(title: str, name: str, found: Sequence[Outcome], key: Callable[[Outcome], str], note: str = "") -> Table:
    groups: dict[str, list[Outcome]] = {}
    for one in sorted(found, key=key):
        groups.setdefault(key(one), []).append(one)
    head = (name, "recordings", "words", "WER", "substitutions", "deletions", "insertions", "CER", "RTFx")
    rows = tuple(
        (
            group,
            float(len(members)),
            float(sum(one.scored.units for one in members)),
            Measured(_ratio(members, _errors), "%"),
            *(Measured(_exact(members, counted), "%") for counted in (_substitutions, _deletions, _insertions)),
            Measured(_ratio(members, _characters), "%"),
            Measured(_exact(members, lambda one: (one.duration_s, one.heard.took_s))),
        )
        for group, members in groups.items()
    )
    return Table(title=title, head=head, rows=rows, note=note)


def _invented(silent: Sequence[Outcome]) -> Table:
    rows = tuple(
        (
            kind,
            float(len(members)),
            sum(one.duration_s for one in members) / 60,
            float(sum(one.invented_words for one in members)),
            Measured(_ratio(members, lambda one: (one.invented_words, one.duration_s / 60))),
        )
        for kind in sorted({one.utterance.kind for one in silent})
        if (members := [one for one in silent if one.utterance.kind == kind])
    )
    head = ("kind", "recordings", "minutes", "words invented", "words a minute")
    return Table(title="Where nobody speaks", head=head, rows=rows)


def _confusions(speech: Sequence[Outcome]) -> Table | None:
    counts = Counter(
        (one.utterance.language, one.detected or "none: an error")
        for one in speech
        if one.knows_language and one.detected != one.utterance.language
    )
    if not counts:
        return None
    rows = tuple((spoken, heard, float(count)) for (spoken, heard), count in sorted(counts.items()))
    return Table(title="Languages taken for another", head=("spoken", "taken for", "recordings"), rows=rows)


def _plots(speech: Sequence[Outcome], words: Sequence[Belief]) -> list[Plot]:
    languages = sorted({one.utterance.language for one in speech})
    by_language = [[one for one in speech if one.utterance.language == language] for language in languages]
    plots: list[Plot] = []
    rates = [_ratio(members, _errors) for members in by_language]
    if all(rates) and rates:
        known = [rate for rate in rates if rate]
        plots.append(
            Plot(
                title="Error rate by language, with 95 % intervals" + _of_characters(languages),
                x_label="language",
                y_label="% of words",
                series=(
                    Series(
                        "WER",
                        tuple(map(float, range(len(known)))),
                        tuple(100 * rate.value for rate in known),
                        tuple(100 * rate.low for rate in known),
                        tuple(100 * rate.high for rate in known),
                    ),
                ),
                style="bars",
                labels=tuple(languages),
            )
        )
        speeds = [_ratio(members, lambda one: (one.duration_s, one.heard.took_s)) for members in by_language]
        if all(speeds):
            plots.append(
                Plot(
                    title="Error rate and speed, by language",
                    x_label="RTFx",
                    y_label="WER, %",
                    series=tuple(
                        Series(language, (speed.value,), (100 * rate.value,), (100 * rate.low,), (100 * rate.high,))
                        for language, rate, speed in zip(languages, known, speeds, strict=True)
                        if speed
                    ),
                    style="points",
                )
            )
    took = [1000 * one.heard.took_s for one in speech]
    if len(took) >= _MANY:
        plots.append(
            Plot(
                title="How long a recording's transcript takes",
                x_label="ms",
                y_label="share of recordings",
                series=(Series("transcripts", tuple(took)),),
                style="ecdf",
            )
        )
    if words:
        plots.append(reliability(words))
    return plots


def _of_characters(languages: Sequence[str]) -> str:
    unspaced = ", ".join(filter(counts_characters, languages))
    return f"; of characters: {unspaced}" if unspaced else ""


def _cases(found: Sequence[Outcome]) -> list[Case]:
    worst = sorted(found, key=lambda one: (-one.scored.errors, one.utterance.id))[:_CASES]
    return [_case(one) for one in worst if one.scored.errors]


def _case(one: Outcome) -> Case:
    scored, utterance = one.scored, one.utterance
    of = f"{scored.errors} of {scored.units} words wrong" if scored.units else f"{scored.errors} words invented"
    return Case(
        title=f"{utterance.id} ({utterance.language}): {of}",
        marks=scored.alignment,
        mp3=mono_mp3(utterance.samples()[: int(_CASE_S * SESSION_RATE_HZ)]),
    )
