from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engines.smart_turn import SmartTurn
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


@pytest.fixture(scope="module")
def engine(model_dir: Callable[[str], Path]) -> Iterator[SmartTurn]:
    engine = SmartTurn(model_dir("smart-turn-v3.2"))
    yield engine
    engine.close()


def whole(samples: Samples) -> Samples:
    return np.concatenate((samples, PAUSE))


def cut_off(samples: Samples) -> Samples:
    return np.concatenate((samples[: int(len(samples) * 0.6)], PAUSE))


def test_scores_are_those_of_the_reference(engine: SmartTurn, recording: Recording) -> None:
    names = list(PIPECAT)
    ours = [
        engine.score([whole(recording(name)) for name in names]),
        engine.score([cut_off(recording(name)) for name in names]),
    ]
    # One step of the model's 8-bit weights moves a score by this much.
    np.testing.assert_allclose(np.array(ours).T, list(PIPECAT.values()), atol=0.005)


def test_whole_sentences_sound_more_complete_than_cut_off_ones(engine: SmartTurn, recording: Recording) -> None:
    for name in PIPECAT:
        complete, incomplete = engine.score([whole(recording(name)), cut_off(recording(name))])
        assert complete > incomplete
