"""The last layer of the turn detector (engines/smart_turn.py), fitted to the calibration split of the simulator.

Each line is said whole and cut between two words, at each boundary: what goes on and what is over then differ in how
they sound alone. A voice lets its end fade and a cut does not, so both are faded out alike, over a length that is
drawn. Both have pauses where the script has holds, some of them, as turns do; then both go through the channels of the
simulator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, cast

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from rich.progress import track
from scipy import optimize

from engines.base import TurnAudio
from engines.smart_turn import SmartTurn, TurnHead
from evals.acoustics import CHANNELS, heard_through
from evals.cache import Cache, digest
from evals.turns.corpus import PlannedTurn, rng_of
from evals.turns.instruments import Speech
from evals.turns.rendering import draw_hold_s
from schemas.audio import SESSION_RATE_HZ, Samples
from server.evaluation.instruments import SMART_TURN

VOICES_A_LINE: Final = 2
RIDGE: Final = 2_000.0
"""Strength of the pull towards zero, of standardised states: with less, heads know the simulator's voices better and
people worse."""
WEIGHT_OF_HOLD: Final = 5.0
"""A boundary at which the script has a hold, where people pause, counts as much as so many others."""
WEIGHT_OF_END: Final = 2.0
TIMES: Final = 2
"""An end is heard through so many channels, since there are fewer of them."""
FOLDS: Final = 8
BEFORE_S: Final = 0.5
FADE_S: Final = (0.01, 0.1)
SILENCES_S: Final = (0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.2)
LAG_S: Final = (-0.02, 0.08)
"""By about so much later than the cut voice activity hears silence begin: -7 to 97 ms in nine of ten pauses."""
PAUSED: Final = 0.7
"""Share of the holds before a cut that are heard as silence."""

Matrix = NDArray[np.float64]


class Cut(Struct, frozen=True, eq=False):
    """The beginning of a line, up to a boundary of words."""

    heard: TurnAudio
    is_end: bool
    weight: float
    block: str


class Heads(Struct, frozen=True):
    """One for use, and for each dialogue one that has not heard it.

    What is fitted to the calibration split next must not take how well a head knows that for how well it knows speech.
    """

    whole: TurnHead
    unseen: dict[str, TurnHead]

    def of(self, block: str) -> TurnHead:
        """One that has not heard this dialogue."""
        return self.unseen.get(block, self.whole)


def cuts(turn: PlannedTurn, speech: Speech, noises: Sequence[Samples]) -> Iterator[Cut]:
    """A line, cut at each boundary from the second on, and whole."""
    rng = rng_of(0, turn.name)
    holds = {hold.after_word for hold in turn.line.holds}
    words = speech.words
    ends = [_samples((word.end_s + after.start_s) / 2) for word, after in pairwise(words)] + [len(speech.samples)]
    for number, end in enumerate(ends, start=1):
        is_end = number == len(ends)
        if number == 1 and not is_end:
            continue
        weight = WEIGHT_OF_END if is_end else WEIGHT_OF_HOLD if number in holds else 1.0
        for _ in range(TIMES if is_end else 1):
            paused = [ends[hold - 1] for hold in sorted(holds) if hold < number and rng.random() < PAUSED]
            parts = [_faded(speech.samples[begin:stop], rng) for begin, stop in pairwise([0, *paused, end])]
            spoken = [parts[0], *(piece for part in parts[1:] for piece in (_silence(draw_hold_s(rng)), part))]
            after = _silence(rng.choice(SILENCES_S))
            dry = np.concatenate((_silence(BEFORE_S), *spoken, after))
            channel = CHANNELS[rng.integers(len(CHANNELS))]
            silent = len(after) - _samples(rng.uniform(*LAG_S))
            heard = TurnAudio(heard_through(channel, dry, noises, rng), silent)
            yield Cut(heard, is_end, weight, turn.dialogue)


def _faded(samples: Samples, rng: np.random.Generator) -> Samples:
    faded = samples.copy()
    fade = min(_samples(rng.uniform(*FADE_S)), len(faded))
    faded[len(faded) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32) ** rng.uniform(1, 2)
    return faded


def _silence(seconds: float) -> Samples:
    return np.zeros(_samples(seconds), np.float32)


def _samples(seconds: float) -> int:
    return round(seconds * SESSION_RATE_HZ)


def fit(states: Matrix, is_end: Matrix, weight: Matrix) -> Matrix:
    """Weights, bias last, of the least penalised log-loss."""
    mean, spread = states.mean(axis=0), states.std(axis=0) + 1e-3
    design = np.column_stack(((states - mean) / spread, np.ones(len(states))))

    def loss(weights: Matrix) -> tuple[float, Matrix]:
        score = design @ weights
        lost = np.logaddexp(0.0, score) - is_end * score
        pulled = np.append(weights[:-1], 0.0)
        error = weight * (1 / (1 + np.exp(-score)) - is_end)
        return float(weight @ lost + 0.5 * RIDGE * pulled @ pulled), design.T @ error + RIDGE * pulled

    found = cast("Any", optimize).minimize(loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B")
    if not found.success:
        raise RuntimeError(f"the fit did not converge: {found.message}")
    scaled = np.asarray(found.x[:-1]) / spread
    return np.append(scaled, found.x[-1] - scaled @ mean)


def fitted(found: Sequence[Cut], engine: SmartTurn, cache: Cache, version: str) -> Heads:
    """The head, and those that have not seen a dialogue.

    Args:
        found: Of all lines.
        engine: Its states are what heads are fitted to.
        cache: Of them.
        version: Of the head.
    """
    states = np.array([states_of(cut.heard, engine, cache) for cut in track(found, "Hearing cuts")], np.float64)
    is_end, weight = (np.array([getattr(cut, name) for cut in found], np.float64) for name in ("is_end", "weight"))
    blocks = sorted({cut.block for cut in found})
    fold = np.array([blocks.index(cut.block) % FOLDS for cut in found])
    without = [
        _head(fit(states[fold != n], is_end[fold != n], weight[fold != n]), f"{version} without {n}")
        for n in range(FOLDS)
    ]
    return Heads(
        _head(fit(states, is_end, weight), version), {name: without[n % FOLDS] for n, name in enumerate(blocks)}
    )


def _head(weights: Matrix, version: str) -> TurnHead:
    *rounded, bias = (round(float(value), 5) for value in weights)
    return TurnHead(version, bias, tuple(rounded))


def states_of(heard: TurnAudio, engine: SmartTurn, cache: Cache) -> NDArray[np.float32]:
    """What the network makes of audio, which is kept."""
    key = cache.key("turn states about the end", SMART_TURN, digest(heard.samples.tobytes()), heard.silence_samples)
    kept = cache.get(key)
    if kept is None:
        kept = engine.states([heard])[0].astype(np.float32).tobytes()
        cache.put(key, kept)
    return np.frombuffer(kept, np.float32)
