"""Fits the weights of the fused end-of-turn probability (session/end_of_turn.py) to the calibration split.

Writes session/end_of_turn_weights.json, and docs/end-of-turn-fit.md with how well the fit does on the test split, whose
voices and texts it has not seen.

    python scripts/fit_end_of_turn.py --recordings ../shared/speech

The first run speaks and scores all turns, which takes a while; what was made is kept in the user's cache folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import anyio
import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress
from scipy import optimize

from evals.cache import Cache, cache_dir
from evals.figures import figure
from evals.recordings import Recordings
from evals.turns.corpus import plan, turn_clips
from evals.turns.dialogue import Split
from evals.turns.endpoint_figures import endpoint_rows
from evals.turns.pauses import ClipPauses, observe
from evals.turns.rendering import Renderer
from server.evaluation.instruments import HostEars, HostVoices
from server.evaluation.policy import features_of, our_policy
from server.evaluation.turns import USER_MODEL
from server.settings import Settings
from server.speech_engines import engine_host
from session.end_of_turn import EndOfTurnFeatures, EndOfTurnWeights, probability

ROOT: Final = Path(__file__).resolve().parent.parent
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
}
"""What each feature speaks for; a weight against it would have been learnt from chance."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """Pauses at every score of the turn detector."""

    features: Matrix
    """``(n, 5)``."""
    is_end: Matrix
    """``(n,)``: 1 or 0."""


def points_of(corpus: Sequence[ClipPauses]) -> Points:
    """What the fit learns from: all pauses at all silences up to the limit."""
    rows: list[list[float]] = []
    is_end: list[float] = []
    for clip in corpus:
        for pause in (*clip.holds, *clip.ends[:1]):
            for one in pause.scores:
                if one.silence_ms <= MAX_SILENCE_MS:
                    rows.append([getattr(features_of(pause, one), name) for name in NAMES])
                    is_end.append(float(pause.is_end))
    return Points(np.array(rows), np.array(is_end))


def fit(points: Points) -> Matrix:
    """Weights, bias last, of the least penalised log-loss within the signs."""
    design = np.column_stack((points.features, np.ones(len(points.features))))

    def loss(weights: Matrix) -> tuple[float, Matrix]:
        score = design @ weights
        lost = np.logaddexp(0.0, score) - points.is_end * score
        pulled = np.append(weights[:-1], 0.0)
        error = 1 / (1 + np.exp(-score)) - points.is_end
        return float(lost.sum() + 0.5 * RIDGE * pulled @ pulled), design.T @ error + RIDGE * pulled

    bounds = [(0.0, None) if SIGNS[name] > 0 else (None, 0.0) for name in NAMES] + [(None, None)]
    found = cast("Any", optimize).minimize(loss, np.zeros(design.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B")
    if not found.success:
        raise RuntimeError(f"the fit did not converge: {found.message}")
    return np.asarray(found.x)


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


async def observed(split: Split, recordings: Recordings, limit: int | None) -> list[ClipPauses]:
    """The pauses of a split."""
    cache = Cache(cache_dir())
    async with engine_host(Settings()) as host:
        with Progress() as progress:
            turns = plan(split)[:limit]
            speaking = progress.add_task(f"Speaking: {split.value}", total=len(turns))
            renderer = Renderer(HostVoices(host, USER_MODEL), cache)
            clips = await turn_clips(turns, renderer, recordings, split, advance=lambda: progress.advance(speaking, 1))
            listening = progress.add_task(f"Listening: {split.value}", total=len(clips))
            return await observe(clips, HostEars(host), cache, lambda done: progress.advance(listening, done))


def report(version: str, weights: EndOfTurnWeights, corpora: dict[Split, list[ClipPauses]]) -> str:
    """The page about the fit."""
    lines = [
        "# The fit of the end-of-turn weights",
        "",
        f"Version {version}. Made by `scripts/fit_end_of_turn.py`, which see for the method; do not edit by hand.",
        "",
        "| split | turns | holds | ends | log-loss | AUC, fused | AUC, smart-turn |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for split, corpus in corpora.items():
        points = points_of(corpus)
        audio = points.features[:, NAMES.index("audio_logit")]
        lines.append(
            f"| {split.value} | {len(corpus)} | {sum(len(clip.holds) for clip in corpus)} "
            f"| {sum(bool(clip.ends) for clip in corpus)} | {log_loss(points, weights):.3f} "
            f"| {area_under_curve(points.is_end, _probabilities(points, weights)):.3f} "
            f"| {area_under_curve(points.is_end, audio):.3f} |"
        )
    lines += ["", "On the test split, whose voices and texts are none of the calibration split's:", ""]
    lines += ["| figure | fused | beside it |", "| --- | --- | --- |"]
    for row in endpoint_rows(corpora[Split.TEST], our_policy(weights), "test"):
        beside = "; ".join(f"{name}: {figure(value, row.unit)}" for name, value in row.beside.items())
        lines.append(f"| {row.title} | {figure(row.estimate, row.unit)} | {beside} |")
    values = ", ".join(f"{name} {getattr(weights, name):.2f}" for name in ("bias", *NAMES))
    return "\n".join([*lines, "", f"Weights: {values}.", ""])


def main() -> None:
    """Fit, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, help="Folder of recordings, for their noise.")
    parser.add_argument("--version", default="1", help="Of the weights.")
    parser.add_argument("--limit", type=int, help="So many turns of each split only, to try things out.")
    parser.add_argument("--dry-run", action="store_true", help="Print, and write nothing.")
    arguments = parser.parse_args()
    recordings = Recordings(arguments.recordings)
    corpora = {split: anyio.run(observed, split, recordings, arguments.limit) for split in Split}
    found = fit(points_of(corpora[Split.CALIBRATION]))
    values = {name: round(float(value), 4) for name, value in zip((*NAMES, "bias"), found, strict=True)}
    weights = msgspec.convert(
        {"version": arguments.version, "report": REPORT.relative_to(ROOT).as_posix(), **values}, EndOfTurnWeights
    )
    text = report(arguments.version, weights, corpora)
    print(text)
    if not arguments.dry_run:
        WEIGHTS.write_text(json.dumps(msgspec.to_builtins(weights), indent=2) + "\n", "utf-8")
        REPORT.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
