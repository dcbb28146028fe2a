"""How fast recognition gets worse: a curve for each way that speech is damaged."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec.structs import replace

from evals.asr.words import Scored, score
from evals.clip import mono_mp3
from evals.figures import roughness
from evals.intervals import Estimate, ratio, ratio_change
from evals.report import Case, Plot, Row, Section, Series
from evals.robustness.degradations import Family
from evals.robustness.measure import CLEAN, Result, Trial
from evals.runner import Failure
from evals.samples import Ratio, Sample
from schemas.audio import SESSION_RATE_HZ

AREA: Final = "robustness"
_OVERALL: Final = f"{AREA}.wer"
_PAUSE_S: Final = 0.5
"""Between a recording and what became of it, in a player."""


def figure_id(family: str, label: str) -> str:
    """As in ``robustness.noise.10_db.wer``."""
    name = re.sub(r"\W+", "_", label.replace("μ", "mu").replace("×", "x").replace(".", "_").replace("-", "minus_"))
    return f"{AREA}.{f'{family}.' if family else ''}{name.strip('_').lower()}.wer"


class Curves:
    """What was measured, and what it comes to.

    Args:
        results: Of :func:`evals.robustness.measure.measure`.
        families: The ways, in the order in which they are to be shown.
    """

    def __init__(self, results: Sequence[Result], families: Sequence[Family]) -> None:
        self._families = families
        self._results = results
        self._scores: dict[tuple[str, str], dict[str, Scored]] = {}
        self._blocks = {one.trial.utterance.id: one.trial.utterance.block for one in results}
        for one in results:
            if not isinstance(one.heard, Failure):
                utterance = one.trial.utterance
                found = score(utterance.text or "", one.heard.text, utterance.language)
                self._scores.setdefault((one.trial.family, one.trial.label), {})[utterance.id] = found

    def section(self, took_s: float, notes: Sequence[str], *, seed: int) -> Section:
        """The part of the report."""
        rough = roughness(self._rate("", CLEAN), "speakers")
        counted = f"{len(self._blocks)} recordings, each as it is and damaged in {len(self._scores) - 1} ways."
        return Section(
            name=AREA,
            title="Robustness",
            took_s=took_s,
            notes=(counted, *([rough] if rough else []), *notes),
            rows=tuple(self._rows()),
            plots=tuple(self._plot(family) for family in self._families),
            cases=tuple(case for family in self._families for case in self._worst(family, seed)),
            case_note="First the recording as it is, then as it arrived.",
        )

    def samples(self) -> list[Sample]:
        """For comparisons of two runs."""
        found: list[Sample] = []
        recordings = {
            one.id: one.fingerprint()
            for one in {id(r.trial.utterance): r.trial.utterance for r in self._results}.values()
        }
        for one in self._results:
            trial, heard = one.trial, one.heard
            name = figure_id(trial.family, trial.label)
            sample = Sample(
                area=AREA,
                id=f"{trial.utterance.id} {name.removeprefix(f'{AREA}.')}",
                block=trial.utterance.block,
                group={"language": trial.utterance.language, "degradation": f"{trial.family} {trial.label}".strip()},
                recording=recordings[trial.utterance.id],
                reference=trial.utterance.text or "",
            )
            if isinstance(heard, Failure):
                found.append(replace(sample, error=heard.message))
            else:
                errors = self._scores[trial.family, trial.label][trial.utterance.id]
                ratios = {name: Ratio(errors.errors, errors.units)}
                if trial.family:
                    ratios[_OVERALL] = ratios[name]
                found.append(replace(sample, hypothesis=heard.text, ratios=ratios))
        return found

    def _rows(self) -> list[Row]:
        rows = [
            Row(
                id=_OVERALL,
                is_headline=True,
                title="Word errors, damaged in all ways",
                unit="%",
                estimate=self._overall(),
                better="lower",
            ),
            Row(
                id=figure_id("", CLEAN),
                title="Word errors, as recorded",
                unit="%",
                estimate=self._rate("", CLEAN),
                better="lower",
            ),
        ]
        rows += [
            Row(
                id=figure_id(family.name, one.label),
                title=f"{family.title}: {one.label}",
                unit="%",
                estimate=self._rate(family.name, one.label),
                better="lower",
                beside={"more than as recorded": self._change(family.name, one.label)},
            )
            for family in self._families
            for one in family.degradations
        ]
        failed = sum(isinstance(one.heard, Failure) for one in self._results)
        rows.append(
            Row(
                id=f"{AREA}.failed",
                title="Recordings that were answered with an error",
                estimate=Estimate(failed, failed, failed, len(self._results)),
                hard_zero=True,
            )
        )
        return rows

    def _overall(self) -> Estimate | None:
        damaged = [scores for (family, _), scores in self._scores.items() if family]
        found = [(name, one) for scores in damaged for name, one in scores.items()]
        blocks = [self._blocks[name] for name, _ in found]
        return ratio([one.errors for _, one in found], [one.units for _, one in found], blocks)

    def _rate(self, family: str, label: str) -> Estimate | None:
        found = self._scores.get((family, label), {})
        errors, words = [one.errors for one in found.values()], [one.units for one in found.values()]
        return ratio(errors, words, [self._blocks[name] for name in found])

    def _change(self, family: str, label: str) -> Estimate | None:
        """Over the recordings that were recognised both ways."""
        clean, found = self._scores.get(("", CLEAN), {}), self._scores.get((family, label), {})
        names = [name for name in found if name in clean]
        sides = [
            ([side[name].errors for name in names], [side[name].units for name in names]) for side in (clean, found)
        ]
        change = ratio_change(sides[0], sides[1], [self._blocks[name] for name in names])
        return change.change if change else None

    def _plot(self, family: Family) -> Plot:
        labels = (CLEAN, *(one.label for one in family.degradations))
        rates = [self._rate("" if label == CLEAN else family.name, label) for label in labels]
        places = [number for number, rate in enumerate(rates) if rate is not None]
        found = [rate for rate in rates if rate is not None]
        return Plot(
            title=f"{family.title}: word errors",
            x_label=family.x_label,
            y_label="WER, %",
            style="line",
            labels=labels,
            series=(
                Series(
                    "word errors",
                    tuple(map(float, places)),
                    tuple(100 * rate.value for rate in found),
                    tuple(100 * rate.low for rate in found),
                    tuple(100 * rate.high for rate in found),
                ),
            ),
        )

    def _worst(self, family: Family, seed: int) -> list[Case]:
        """The recording that lost most words, if any lost some."""
        clean: Mapping[str, Scored] = self._scores.get(("", CLEAN), {})

        def lost(one: Result) -> int:
            name = one.trial.utterance.id
            return self._scores[one.trial.family, one.trial.label][name].errors - clean[name].errors

        of_family = [
            one
            for one in self._results
            if one.trial.family == family.name
            and not isinstance(one.heard, Failure)
            and one.trial.utterance.id in clean
        ]
        worst = max(of_family, key=lost, default=None)
        if worst is None or lost(worst) <= 0 or isinstance(worst.heard, Failure):
            return []
        trial = worst.trial
        as_recorded = next(
            one.heard.text
            for one in self._results
            if one.trial.utterance.id == trial.utterance.id
            and not one.trial.family
            and not isinstance(one.heard, Failure)
        )
        return [
            Case(
                title=f"{family.title}, {trial.label}: {lost(worst)} more words wrong",
                text=f"{trial.utterance.id}. As recorded: {as_recorded}",
                marks=self._scores[trial.family, trial.label][trial.utterance.id].alignment,
                mp3=_before_and_after(trial, seed),
            )
        ]


def _before_and_after(trial: Trial, seed: int) -> bytes:
    pause = np.zeros(round(_PAUSE_S * SESSION_RATE_HZ), np.float32)
    return mono_mp3(np.concatenate((trial.utterance.samples(), pause, trial.samples(seed))))
