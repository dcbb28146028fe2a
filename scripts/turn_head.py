"""The last layer of the turn detector (engines/smart_turn.py), fitted to the calibration split of the simulator.

Each line is said whole and cut between two words, at each boundary: what goes on and what is over then differ in how
they sound alone. A voice lets its end fade and a cut does not, so both are faded out alike, over a length that is
drawn; then both go through the channels of the simulator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from rich.progress import track
from scipy import optimize

from engines.smart_turn import SmartTurn, TurnHead
from evals.acoustics import CHANNELS, heard_through
from evals.cache import Cache, digest
from evals.turns.corpus import PlannedTurn, rng_of
from evals.turns.instruments import Speech
from schemas.audio import SESSION_RATE_HZ, Samples
from server.evaluation.instruments import SMART_TURN

RIDGE: Final = 1_000.0
"""Strength of the pull towards zero, of standardised states. There are hardly more cuts than states; with less, heads
know the simulator's voices better and people worse."""
WEIGHT_OF_HOLD: Final = 5.0
"""A boundary at which the script has a hold, where people pause, counts as much as so many others."""
WEIGHT_OF_END: Final = 2.0
TIMES: Final = 2
"""An end is heard through so many channels, since there are fewer of them."""
FOLDS: Final = 8
BEFORE_S: Final = 0.5
FADE_S: Final = (0.02, 0.1)
SILENCES_S: Final = (0.2, 0.3, 0.4, 0.5)

Matrix = NDArray[np.float64]


class Cut(Struct, frozen=True, eq=False):
    """The beginning of a line, up to a boundary of words."""

    samples: Samples
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
    for number, word in enumerate(speech.words[1:], start=2):
        is_end = number == len(speech.words)
        at_s = len(speech.samples) / SESSION_RATE_HZ if is_end else (word.end_s + speech.words[number].start_s) / 2
        weight = WEIGHT_OF_END if is_end else WEIGHT_OF_HOLD if number in holds else 1.0
        for _ in range(TIMES if is_end else 1):
            piece = speech.samples[: round(at_s * SESSION_RATE_HZ)].copy()
            fade = round(rng.uniform(*FADE_S) * SESSION_RATE_HZ)
            piece[-fade:] *= np.linspace(1, 0, len(piece[-fade:]), dtype=np.float32) ** rng.uniform(1, 2)
            after = round(rng.choice(SILENCES_S) * SESSION_RATE_HZ)
            dry = np.pad(piece, (round(BEFORE_S * SESSION_RATE_HZ), after))
            channel = CHANNELS[rng.integers(len(CHANNELS))]
            yield Cut(heard_through(channel, dry, noises, rng), is_end, weight, turn.dialogue)


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
    states = np.array([states_of(cut.samples, engine, cache) for cut in track(found, "Hearing cuts")], np.float64)
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


def states_of(samples: Samples, engine: SmartTurn, cache: Cache) -> NDArray[np.float32]:
    """What the network makes of audio, which is kept."""
    key = cache.key("turn states", SMART_TURN, digest(samples.tobytes()))
    kept = cache.get(key)
    if kept is None:
        kept = engine.states([samples])[0].astype(np.float32).tobytes()
        cache.put(key, kept)
    return np.frombuffer(kept, np.float32)
