"""Fits the end of a turn to the calibration split of the dialogue simulator.

That is the last layer of the turn detector (turn_head.py), then the weights of the fused probability
(session/end_of_turn.py), then the silences that end a turn by it. Writes engines/smart_turn_head.json,
session/end_of_turn_weights.json, and docs/end-of-turn-fit.md with how well the fit does on the test split, whose voices
and texts it has not seen.

    python scripts/fit_end_of_turn.py --recordings ../shared/speech

The first run speaks and scores all turns, which takes a while; what was made is kept in the user's cache folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import anyio
import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from rich.progress import track
from scipy import optimize
from turn_head import VOICES_A_LINE, cuts, fitted, states_of

from engines.base import TurnAudio
from engines.host import EngineHost
from engines.smart_turn import SmartTurn, TurnHead
from evals.cache import Cache, cache_dir
from evals.figures import figure
from evals.recordings import Recordings
from evals.turns.corpus import PlannedTurn, plan, turn_clips
from evals.turns.dialogue import Split, load
from evals.turns.endpoint_figures import endpoint_rows
from evals.turns.pauses import ClipPauses, observe
from evals.turns.rendering import Renderer, share_of_holds_longer
from schemas.audio import Samples
from schemas.models import ModelKind
from server.evaluation.instruments import SMART_TURN, HostEars, HostVoices, detector_name
from server.evaluation.policy import ANSWER_MS, features_of, our_policy
from server.evaluation.turns import USER_MODEL
from server.settings import Settings
from server.speech_engines import engine_host, model_store
from session.deadline import COMPLETE_MS, PAUSE_MIN_MS, SPELLING_CEILING_MS, SPELLING_FLOOR_MS, Deadlines
from session.end_of_turn import WEIGHTS as SHIPPED
from session.end_of_turn import EndOfTurnFeatures, EndOfTurnWeights, pause_probability, probability
from session.lexicons import text_cues
from session.turn_end import FRAME_MS

ROOT: Final = Path(__file__).resolve().parent.parent
HEAD: Final = ROOT / "engines" / "smart_turn_head.json"
WEIGHTS: Final = ROOT / "session" / "end_of_turn_weights.json"
REPORT: Final = ROOT / "docs" / "end-of-turn-fit.md"
NAMES: Final = EndOfTurnFeatures.__struct_fields__
MAX_SILENCE_MS: Final = 700
"""Turns are mostly decided by then, and later on there are hardly holds left to learn from."""
RIDGE: Final = 2.0
"""Strength of the pull towards zero: enough to keep features that hardly vary from running away."""
SIGNS: Final = {
    "audio_logit": 1,
    "text_complete": 1,
    "trailing_open": -1,
    "silence_s": 1,
    "stability": 1,
    "question": 1,
    "length": 1,
    "sentence_end": 1,
}
"""What each feature speaks for; a weight against it would have been learnt from chance."""

CONVERSED: Final = 5
"""How often each turn of a conversation is said, by other voices as far as there are any, for the deadlines."""
WITHIN_MS: Final = {0.5: 500, 0.95: 2_700}
"""Such shares of the turns of conversations are to end within that: half of them as soon as was promised, and who has
to wait longer than the last says something again."""
CUTOFF_MS: Final = 40_000
"""What a pause that is cut off costs, in waiting: it is worth as much to cut off one of a hundred less as to end every
turn 400 ms sooner."""
PAUSE_S: Final = 0.3
"""Silence after which a pause is told from an end."""
SCORE_MEMORY: Final = 0.5
"""Of the turn detector's answers about a pause: together they are righter than any."""
LEVELS: Final = tuple(round(0.02 * step, 2) for step in range(5, 49))
SILENCES_MS: Final = tuple(
    FRAME_MS * frames for frames in (10, 11, 12, 13, 14, 16, 19, 22, 25, 32, 38, 44, 53, 63, 78, 81)
)
"""Whole frames, for that is when sessions decide."""
BINS: Final = 4
TRIES: Final = 40_000
"""Deadlines that are tried, drawn from these."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """Pauses at every score of the turn detector."""

    features: Matrix
    """``(n, 8)``."""
    is_end: Matrix
    """``(n,)``: 1 or 0."""
    smart_turn: Matrix
    """``(n,)``: what Smart Turn says as it comes."""


def points_of(corpus: Sequence[ClipPauses], weights: EndOfTurnWeights) -> Points:
    """What the fit learns from: all pauses at all silences up to the limit.

    Args:
        corpus: Pauses.
        weights: Of which only counts how they merge the turn detector's answers.
    """
    rows: list[list[float]] = []
    is_end: list[float] = []
    alone: list[float] = []
    for clip in corpus:
        for pause in (*clip.holds, *clip.ends[:1]):
            known = features_of(pause, weights)
            for (silence_ms, features), score in zip(known, pause.scores, strict=True):
                if silence_ms <= MAX_SILENCE_MS:
                    rows.append([getattr(features, name) for name in NAMES])
                    is_end.append(float(pause.is_end))
                    alone.append(score.probability)
    return Points(np.array(rows), np.array(is_end), np.array(alone))


def fit(points: Points) -> Matrix:
    """Weights, bias last, of the least penalised log-loss within the signs.

    Half of it is of the same pauses without a recogniser that knows how likely a text is all: other cues then do what
    they can.
    """
    without = points.features.copy()
    without[:, NAMES.index("sentence_end")] = 0
    features, is_end = np.concatenate((points.features, without)), np.tile(points.is_end, 2)
    design = np.column_stack((features, np.ones(len(features))))

    def loss(weights: Matrix) -> tuple[float, Matrix]:
        score = design @ weights
        lost = np.logaddexp(0.0, score) - is_end * score
        pulled = np.append(weights[:-1], 0.0)
        error = 0.5 * (1 / (1 + np.exp(-score)) - is_end)
        return float(0.5 * lost.sum() + 0.5 * RIDGE * pulled @ pulled), design.T @ error + RIDGE * pulled

    bounds = [(0.0, None) if SIGNS[name] > 0 else (None, 0.0) for name in NAMES] + [(None, None)]
    found = cast("Any", optimize).minimize(loss, np.zeros(design.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B")
    if not found.success:
        raise RuntimeError(f"the fit did not converge: {found.message}")
    return np.asarray(found.x)


@dataclass(frozen=True)
class Scored:
    """Pauses, with the probabilities that they are ends."""

    silence_ms: Matrix
    """``(n, s)``: after how much silence a session has a score; infinite where a pause has fewer."""
    likely: Matrix
    """``(n, s)``."""
    duration_ms: Matrix
    lag_ms: Matrix
    is_end: NDArray[np.bool_]
    is_complete: NDArray[np.bool_]
    is_spelled: NDArray[np.bool_]


def scored(corpus: Sequence[ClipPauses], weights: EndOfTurnWeights) -> Scored:
    """All pauses that have a score: a shorter one is no policy's concern."""
    pauses = [pause for clip in corpus for pause in (*clip.holds, *clip.ends[:1]) if pause.ours]
    most = max(len(pause.ours) for pause in pauses)
    silence_ms, likely = np.full((len(pauses), most), np.inf), np.zeros((len(pauses), most))
    for row, pause in enumerate(pauses):
        for column, (at_ms, features) in enumerate(features_of(pause, weights)):
            silence_ms[row, column], likely[row, column] = at_ms + ANSWER_MS, pause_probability(features, weights)
    cues = [text_cues(pause.text, pause.language) for pause in pauses]
    return Scored(
        silence_ms,
        likely,
        np.array([pause.silence_ms for pause in pauses]),
        np.array([pause.lag_ms for pause in pauses]),
        np.array([pause.is_end for pause in pauses]),
        np.array([cue.complete for cue in cues]),
        np.array([cue.spelled for cue in cues]),
    )


def waits_ms(pauses: Scored, deadlines: Deadlines) -> Matrix:
    """Silence that ends each pause with the balanced profile, as :func:`session.deadline.deadline_ms` has it."""
    wait_ms = np.full(pauses.likely.shape, float(deadlines[-1][1]))
    for least, ms in reversed(deadlines):
        wait_ms[pauses.likely >= least] = ms
    patient_ms = np.clip(1.6 * wait_ms, SPELLING_FLOOR_MS, SPELLING_CEILING_MS)
    wait_ms = np.where(pauses.is_complete[:, None], np.minimum(wait_ms, COMPLETE_MS), np.maximum(wait_ms, PAUSE_MIN_MS))
    wait_ms = np.where(pauses.is_spelled[:, None], patient_ms, wait_ms)
    wait_ms = np.maximum(FRAME_MS * np.ceil(wait_ms / FRAME_MS - 0.5), pauses.silence_ms)
    following_ms = np.column_stack((pauses.silence_ms[:, 1:], np.full(len(wait_ms), np.inf)))
    return wait_ms[np.arange(len(wait_ms)), (wait_ms < following_ms).argmax(axis=1)]


def choose_deadlines(pauses: Scored) -> Deadlines:
    """Those that cost least in cutoffs and waiting, of all that are quick enough.

    How long a hold lasts has nothing to do with what was said before it. So a hold counts as cut off by the share of
    all holds that last longer than it is waited for: the few that happened to be long would decide otherwise.

    Args:
        pauses: Of conversations. Most lines of the calibration split are requests that nobody answers, made up for
            their pauses: weights learn from them, but they are said otherwise, and end less surely.
    """
    rng = np.random.default_rng(1)
    best: tuple[float, Deadlines] | None = None
    for _ in range(TRIES):
        levels = np.sort(rng.choice(LEVELS, BINS - 1, replace=False))[::-1]
        silences = np.sort(rng.choice(SILENCES_MS, BINS, replace=False))
        tried = tuple((float(level), int(ms)) for level, ms in zip((*levels, 0.0), silences, strict=True))
        wait_ms = waits_ms(pauses, tried)
        latency_ms = np.maximum(0.0, pauses.lag_ms + wait_ms)[pauses.is_end]
        if any(np.quantile(latency_ms, share) > most_ms for share, most_ms in WITHIN_MS.items()):
            continue
        cut = share_of_holds_longer(wait_ms[~pauses.is_end] / 1000).mean()
        cost_ms = float(CUTOFF_MS * cut + latency_ms.mean())
        if best is None or cost_ms < best[0]:
            best = (cost_ms, tried)
    if best is None:
        raise RuntimeError(f"no deadlines end turns as soon as {WITHIN_MS} has it")
    return best[1]


def log_loss(points: Points, weights: EndOfTurnWeights) -> float:
    """Mean over points."""
    likely = np.clip(_probabilities(points, weights), 1e-6, 1 - 1e-6)
    lost = -(points.is_end * np.log(likely) + (1 - points.is_end) * np.log(1 - likely))
    return float(lost.mean())


def area_under_curve(is_end: Matrix, score: Matrix) -> float:
    """Probability that an end scores higher than a hold."""
    ends, holds = score[is_end == 1], score[is_end == 0]
    above = (ends[:, None] > holds).mean()
    return float(above + 0.5 * (ends[:, None] == holds).mean())


def _probabilities(points: Points, weights: EndOfTurnWeights) -> Matrix:
    return np.array([probability(EndOfTurnFeatures(*row), weights) for row in points.features])


class HeadEars(HostEars):
    """Listens with another head than the one that comes with this version."""

    def __init__(self, host: EngineHost, folder: Path, head: TurnHead, cache: Cache) -> None:
        super().__init__(host, folder)
        self.detector = detector_name(self.models[ModelKind.TURN_DETECTOR.value], head)
        self._states = partial(states_of, engine=SmartTurn(folder), cache=cache)
        self._head = head

    async def end_of_turn(self, clips: Sequence[Samples], silences: Sequence[int]) -> list[float]:
        """With that head."""
        heard = zip(clips, silences, strict=True)
        return [float(self._head.probability(self._states(TurnAudio(*one))[None])[0]) for one in heard]


async def made(
    recordings: Recordings, limit: int | None, version: str
) -> tuple[TurnHead, dict[Split, list[ClipPauses]], list[ClipPauses]]:
    """The turn detector's head, and the pauses of both splits as they are heard by heads that do not know them.

    The third are those of conversations of the calibration split, said by more voices.
    """
    cache, folder = Cache(cache_dir()), model_store(Settings()).path(SMART_TURN)
    async with engine_host(Settings()) as host:
        renderer = Renderer(HostVoices(host, USER_MODEL), cache)
        noises = recordings.noises(Split.CALIBRATION)
        turns = plan(Split.CALIBRATION, voices_a_line=VOICES_A_LINE)
        lines = [(turn, await renderer.speak(turn.line.text, turn.voice)) for turn in turns]
        known = [cut for turn, speech in lines for cut in cuts(turn, speech, noises)]
        heads = fitted(known, SmartTurn(folder), cache, version)
        ears = {head.version: HeadEars(host, folder, head, cache) for head in (heads.whole, *heads.unseen.values())}

        async def heard(turns: Sequence[PlannedTurn], split: Split, name: str) -> list[ClipPauses]:
            clips = await turn_clips(turns, renderer, recordings, split)
            return [
                pauses
                for clip in track(clips, f"Listening: {name}")
                for pauses in await observe([clip], ears[heads.of(clip.block).version], cache)
            ]

        corpora = {split: await heard(plan(split)[:limit], split, split.value) for split in Split}
        answered = {f"{one.language}.{one.name}" for one in load(Split.CALIBRATION) if one.has_agent}
        said = plan(Split.CALIBRATION, voices_a_line=CONVERSED)
        conversed = [turn for turn in said if turn.dialogue in answered][:limit]
        return heads.whole, corpora, await heard(conversed, Split.CALIBRATION, "conversations")


def report(version: str, weights: EndOfTurnWeights, corpora: dict[Split, list[ClipPauses]]) -> str:
    """The page about the fit."""
    lines = [
        "# The fit of the end-of-turn weights",
        "",
        f"Version {version}. Made by `scripts/fit_end_of_turn.py`, which see for the method; do not edit by hand.",
        "",
        "| split | turns | holds | ends | log-loss | AUC, fused | AUC, turn detector | AUC, smart-turn |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for split, corpus in corpora.items():
        points = points_of(corpus, weights)
        audio = points.features[:, NAMES.index("audio_logit")]
        lines.append(
            f"| {split.value} | {len(corpus)} | {sum(len(clip.holds) for clip in corpus)} "
            f"| {sum(bool(clip.ends) for clip in corpus)} | {log_loss(points, weights):.3f} "
            f"| {area_under_curve(points.is_end, _probabilities(points, weights)):.3f} "
            f"| {area_under_curve(points.is_end, audio):.3f} "
            f"| {area_under_curve(points.is_end, points.smart_turn):.3f} |"
        )
    lines += ["", "On the test split, whose voices and texts are none of the calibration split's:", ""]
    lines += ["| figure | fused | beside it |", "| --- | --- | --- |"]
    for row in endpoint_rows(corpora[Split.TEST], our_policy(weights=weights), "test"):
        beside = "; ".join(f"{name}: {figure(value, row.unit)}" for name, value in row.beside.items())
        lines.append(f"| {row.title} | {figure(row.estimate, row.unit)} | {beside} |")
    values = ", ".join(f"{name} {getattr(weights, name):.2f}" for name in ("bias", *NAMES))
    silences = "; ".join(f"{ms} ms from {least:g}" for least, ms in weights.deadlines)
    return "\n".join([*lines, "", f"Weights: {values}.", "", f"Silence that ends a turn: {silences}.", ""])


def main() -> None:
    """Fit, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, help="Folder of recordings, for their noise.")
    parser.add_argument("--version", default="6", help="Of head and weights.")
    parser.add_argument("--limit", type=int, help="So many turns of each split only, to try things out.")
    parser.add_argument("--dry-run", action="store_true", help="Print, and write nothing.")
    arguments = parser.parse_args()
    recordings = Recordings(arguments.recordings)
    start = replace(
        SHIPPED,
        version=arguments.version,
        report=REPORT.relative_to(ROOT).as_posix(),
        least_score=False,
        score_memory=SCORE_MEMORY,
        waits_again=True,
        pause_s=PAUSE_S,
    )
    head, corpora, conversed = anyio.run(made, recordings, arguments.limit, arguments.version)
    found = fit(points_of(corpora[Split.CALIBRATION], start))
    values = {name: round(float(value), 4) for name, value in zip((*NAMES, "bias"), found, strict=True)}
    weights = replace(start, **values)
    weights = replace(weights, deadlines=choose_deadlines(scored(conversed, weights)))
    text = report(arguments.version, weights, corpora)
    print(text)
    if not arguments.dry_run:
        HEAD.write_text(json.dumps(msgspec.to_builtins(head)) + "\n", "utf-8")
        WEIGHTS.write_text(json.dumps(msgspec.to_builtins(weights), indent=2) + "\n", "utf-8")
        REPORT.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
