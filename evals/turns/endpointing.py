"""Policies that end turns, scored on pauses as eot-bench does.

A policy has three knobs: the score from which a turn counts as over, the least silence before it may act, and the
silence after which it ends the turn whatever the score. All settings are tried; what counts is the trade-off: the
fewest false cutoffs within a latency, the least latency within a rate of cutoffs. A false cutoff is a hold in which the
policy ends the turn; latency is mean silence after the true end. (https://github.com/livekit/eot-bench, "Policy Sweep
and Operating Points"; the grid is the one of its harness.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from evals.turns.pauses import ClipPauses, Pause

THRESHOLDS: Final = tuple(round(0.01 * step, 2) for step in range(101))
ACTION_DELAYS_MS: Final = tuple(range(200, 1_001, 100))
TIMEOUTS_MS: Final = tuple(range(1_000, 3_501, 500))
MISSED_MS: Final = 3_000
"""An end that takes longer counts as missed."""
NEVER_MS: Final = 1e9

Vector = NDArray[np.float64]

Fire = Callable[[Pause], float]
"""Silence in milliseconds, since the last voiced frame, after which a policy ends the turn."""

PauseScores = Callable[[Pause], Sequence[tuple[int, float]]]
"""What a policy may look at: silence in milliseconds, and the score it has from then on."""


class Decisions(Struct, frozen=True, eq=False):
    """What one policy did with a corpus. Rows are blocked by clip for resampling."""

    cut: Vector
    """``(h,)``: 1 for each hold in which the turn was ended."""
    hold_clips: NDArray[np.int64]
    """``(h,)``: the clip of each hold."""
    latency_ms: Vector
    """``(e,)``: from the true end of speech to the decision."""
    end_clips: NDArray[np.int64]

    @property
    def cutoff_rate(self) -> float:
        """Share of holds cut off."""
        return float(self.cut.mean()) if len(self.cut) else 0.0

    @property
    def missed_rate(self) -> float:
        """Share of ends that took longer than :data:`MISSED_MS`."""
        return float((self.latency_ms > MISSED_MS).mean()) if len(self.latency_ms) else 0.0


class Setting(Struct, frozen=True):
    """One place on the grid, and what came of it."""

    threshold: float
    action_delay_ms: int
    timeout_ms: int
    cutoff_rate: float
    latency_ms: float
    """Mean."""
    median_ms: float


def decide(corpus: Sequence[ClipPauses], fire: Fire) -> Decisions:
    """Run a policy over a corpus."""
    cut: list[float] = []
    hold_clips: list[int] = []
    latency_ms: list[float] = []
    end_clips: list[int] = []
    for number, clip in enumerate(corpus):
        for pause in clip.holds:
            cut.append(float(fire(pause) < pause.silence_ms))
            hold_clips.append(number)
        if clip.ends:
            latency_ms.append(_latency_ms(clip.ends, fire))
            end_clips.append(number)
    return Decisions(np.array(cut), np.array(hold_clips, int), np.array(latency_ms), np.array(end_clips, int))


def _latency_ms(ends: Sequence[Pause], fire: Fire) -> float:
    """Something that sounds after the end puts the decision off to the next silence."""
    for pause in ends[:-1]:
        if (after_ms := fire(pause)) < pause.silence_ms:
            return max(0.0, pause.lag_ms + after_ms)
    return max(0.0, ends[-1].lag_ms + fire(ends[-1]))


def silence_alone(timeout_ms: float) -> Fire:
    """VAD alone: so much silence ends a turn."""
    return lambda _: timeout_ms


def first_score(pause: Pause) -> Sequence[tuple[int, float]]:
    """Smart-turn as Pipecat uses it: asked once, when the VAD reports a stop after 200 ms."""
    return [(score.silence_ms, score.probability) for score in pause.scores[:1]]


def model_and_timeout(scores: PauseScores, threshold: float, action_delay_ms: float, timeout_ms: float) -> Fire:
    """Ends a turn at the first score from the threshold on, and at the timeout."""

    def fire(pause: Pause) -> float:
        crossed = next((ms for ms, score in scores(pause) if score >= threshold), NEVER_MS)
        return min(max(crossed, action_delay_ms), timeout_ms)

    return fire


def pipecat() -> Fire:
    """Its defaults: one score at 200 ms of silence, 0.5 ends the turn, else 3 s do (``SmartTurnParams.stop_secs``)."""
    return model_and_timeout(first_score, 0.5, 200, 3_000)


def sweep(corpus: Sequence[ClipPauses], scores: PauseScores) -> list[Setting]:
    """Every setting of the grid for one kind of score."""
    holds = [pause for clip in corpus for pause in clip.holds]
    ends = [clip.ends for clip in corpus if clip.ends]
    hold_crossed = _crossings(holds, scores)
    hold_ms = np.array([pause.silence_ms for pause in holds])
    end_pauses = [pause for pauses in ends for pause in pauses]
    end_crossed = _crossings(end_pauses, scores)
    end_ms = np.array([pause.silence_ms for pause in end_pauses])
    lag_ms = np.array([pause.lag_ms for pause in end_pauses])
    owner = np.array([number for number, pauses in enumerate(ends) for _ in pauses], int)
    is_last = np.append(owner[1:] != owner[:-1], [True])[: len(owner)]
    found: list[Setting] = []
    for place, threshold in enumerate(THRESHOLDS):
        for delay_ms in ACTION_DELAYS_MS:
            for timeout_ms in TIMEOUTS_MS:
                cut = np.minimum(np.maximum(hold_crossed[place], delay_ms), timeout_ms) < hold_ms
                fires = np.minimum(np.maximum(end_crossed[place], delay_ms), timeout_ms)
                heard = np.where((fires < end_ms) | is_last, np.maximum(0.0, lag_ms + fires), np.inf)
                latency = np.full(len(ends), np.inf)
                np.minimum.at(latency, owner, heard)
                found.append(
                    Setting(
                        threshold,
                        delay_ms,
                        timeout_ms,
                        float(cut.mean()) if len(cut) else 0.0,
                        float(latency.mean()) if len(latency) else 0.0,
                        float(np.median(latency)) if len(latency) else 0.0,
                    )
                )
    return found


def sweep_silence(corpus: Sequence[ClipPauses], step_ms: int = 20) -> list[Setting]:
    """VAD alone, at every timeout."""
    found: list[Setting] = []
    for timeout_ms in range(200, 3_501, step_ms):
        decisions = decide(corpus, silence_alone(timeout_ms))
        latency = decisions.latency_ms
        mean_ms = float(latency.mean()) if len(latency) else 0.0
        median_ms = float(np.median(latency)) if len(latency) else 0.0
        found.append(Setting(0.0, timeout_ms, timeout_ms, decisions.cutoff_rate, mean_ms, median_ms))
    return found


def _crossings(pauses: Sequence[Pause], scores: PauseScores) -> Vector:
    """``(thresholds, pauses)``: silence at the first score from each threshold on."""
    crossed = np.full((len(THRESHOLDS), len(pauses)), NEVER_MS)
    levels = np.array(THRESHOLDS)
    for column, pause in enumerate(pauses):
        for silence_ms, score in scores(pause):
            reached = (levels <= score) & (crossed[:, column] == NEVER_MS)
            crossed[reached, column] = silence_ms
    return crossed


def fewest_cutoffs(settings: Sequence[Setting], latency_ms: float) -> Setting | None:
    """The setting with the fewest false cutoffs whose mean latency is within a budget."""
    within = [setting for setting in settings if setting.latency_ms <= latency_ms]
    return min(within, key=lambda setting: (setting.cutoff_rate, setting.latency_ms), default=None)


def least_latency(settings: Sequence[Setting], cutoff_rate: float) -> Setting | None:
    """The setting with the least mean latency whose false cutoffs are within a budget."""
    within = [setting for setting in settings if setting.cutoff_rate <= cutoff_rate]
    return min(within, key=lambda setting: (setting.latency_ms, setting.cutoff_rate), default=None)


def least_median(settings: Sequence[Setting], cutoff_rate: float) -> Setting | None:
    """The same with the least median: half of the ends are as quick, however long the others take."""
    within = [setting for setting in settings if setting.cutoff_rate <= cutoff_rate]
    return min(within, key=lambda setting: (setting.median_ms, setting.latency_ms), default=None)


def frontier(settings: Sequence[Setting]) -> list[Setting]:
    """Those that no other beats in both, by latency."""
    best: list[Setting] = []
    for setting in sorted(settings, key=lambda one: (one.latency_ms, one.cutoff_rate)):
        if not best or setting.cutoff_rate < best[-1].cutoff_rate:
            best.append(setting)
    return best
