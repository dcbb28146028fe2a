# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engines.base import TurnAudio
from engines.smart_turn import HEAD, SmartTurn, _before_and_in_silence
from schemas.audio import SESSION_RATE_HZ, Samples

pytestmark = pytest.mark.real
Recording = Callable[[str], Samples]

PAUSE = np.zeros(SESSION_RATE_HZ // 5, np.float32)
"""200 ms, as there is when a turn detector is asked."""

# What LocalSmartTurnAnalyzerV3 of pipecat-ai 1.14.0 gives for each clip, and for its first 60 %, with 200 ms of
# silence after it.
PIPECAT = {
    "faster_whisper/jfk.flac": (0.62528, 0.07717),
    "gcp/brooklyn_bridge.flac": (0.98704, 0.94661),
    "ljspeech/LJ001-0002.flac": (0.98974, 0.25665),
    "fleurs/fleurs-de-000.ogg": (0.96194, 0.87754),
    "leopard/test.flac": (0.96472, 0.01574),
    "speechbrain/spk1_snt5.flac": (0.98015, 0.02063),
    "fleurs/fleurs-en-003.ogg": (0.98652, 0.13118),
    "fleurs/fleurs-en-004.ogg": (0.98933, 0.02145),
}

QUIET_S = {"fleurs/fleurs-de-000.ogg": 4}
"""At the end of a recording: longer than a session waits with asking."""


@pytest.fixture(scope="module")
def engine(model_dir: Callable[[str], Path]) -> Iterator[SmartTurn]:
    engine = SmartTurn(model_dir("smart-turn-v3.2"))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def bare(model_dir: Callable[[str], Path]) -> Iterator[SmartTurn]:
    engine = SmartTurn(model_dir("smart-turn-v3.2"), head=None)
    yield engine
    engine.close()


def spoken(recording: Recording, name: str) -> Samples:
    """A recording up to the end of its speech."""
    samples = recording(name)
    return samples[: len(samples) - QUIET_S.get(name, 0) * SESSION_RATE_HZ]


def whole(samples: Samples) -> TurnAudio:
    return TurnAudio(np.concatenate((samples, PAUSE)), len(PAUSE))


def cut_off(samples: Samples, share: float = 0.6) -> TurnAudio:
    return whole(samples[: int(len(samples) * share)])


def test_without_our_head_scores_are_those_of_the_reference(bare: SmartTurn, recording: Recording) -> None:
    names = list(PIPECAT)
    ours = [
        bare.score([whole(recording(name)) for name in names]),
        bare.score([cut_off(recording(name)) for name in names]),
    ]
    # One step of the model's 8-bit weights moves a score by this much.
    np.testing.assert_allclose(np.array(ours).T, list(PIPECAT.values()), atol=0.005)


def test_whole_sentences_sound_more_complete_than_cut_off_ones(engine: SmartTurn, recording: Recording) -> None:
    for name in PIPECAT:
        samples = spoken(recording, name)
        complete, incomplete = engine.score([whole(samples), cut_off(samples)])
        assert complete > incomplete


def test_our_head_makes_of_the_states_what_the_engine_says(engine: SmartTurn, recording: Recording) -> None:
    clips = [whole(recording(name)) for name in PIPECAT]
    assert engine.score(clips) == pytest.approx(HEAD.probability(engine.states(clips)).tolist())


def test_cut_off_sentences_are_told_from_whole_ones_better_than_by_the_model_alone(
    engine: SmartTurn, bare: SmartTurn, recording: Recording
) -> None:
    """People who read, in four languages: none of them, and hardly their languages, were in what the head has seen."""
    rng = np.random.default_rng(0)
    complete: list[TurnAudio] = []
    incomplete: list[TurnAudio] = []
    for name in PIPECAT:
        samples = spoken(recording, name)
        complete.append(whole(samples))
        incomplete += [cut_off(samples, share) for share in rng.uniform(0.3, 0.9, 6)]

    def right(model: SmartTurn) -> float:
        """Share of pairs in which the whole one scores higher."""
        ends, cuts = np.array(model.score(complete)), np.array(model.score(incomplete))
        return float((ends[:, None] > cuts).mean())

    assert right(engine) > right(bare)


@pytest.mark.parametrize(("silence_s", "silent"), [(0, 5), (0.05, 5), (0.2, 10), (1, 50), (8, 395), (20, 395)])
def test_a_head_is_given_the_mean_of_the_last_words_and_that_of_the_silence(silence_s: float, silent: int) -> None:
    states = np.arange(400, dtype=np.float32)[:, None].repeat(384, axis=1)
    heard = TurnAudio(np.zeros(0, np.float32), round(silence_s * SESSION_RATE_HZ))
    found = _before_and_in_silence(states, heard)
    end = 400 - silent
    assert found.shape == (2 * 384,)
    assert found[0] == pytest.approx(states[max(0, end - 40) : end, 0].mean())
    assert found[-1] == pytest.approx(states[end:, 0].mean())


@pytest.mark.parametrize("silence_s", [0, 0.01, 0.2, 7.99, 8, 20])
def test_there_may_be_any_silence(engine: SmartTurn, silence_s: float) -> None:
    silent = round(silence_s * SESSION_RATE_HZ)
    for length in (silent, silent + 1, silent + SESSION_RATE_HZ):
        (score,) = engine.score([TurnAudio(np.zeros(length, np.float32), silent)])
        assert 0 <= score <= 1
