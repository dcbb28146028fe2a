from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.onnx_graph import constants
from engines.onnx_session import OnnxSession
from engines.silero import SileroVad
from schemas.audio import VAD_FRAME_SAMPLES, Samples
from schemas.errors import ErrorCode, SpeechError

pytestmark = pytest.mark.real
Recording = Callable[[str], Samples]


@pytest.fixture(scope="module")
def folder(model_dir: Callable[[str], Path]) -> Path:
    return model_dir("silero-vad-v6")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[SileroVad]:
    engine = SileroVad(folder)
    yield engine
    engine.close()


def scores(engine: SileroVad, samples: Samples) -> NDArray[np.float32]:
    state = engine.initial_state()
    found: list[np.float32] = []
    for start in range(0, len(samples) - VAD_FRAME_SAMPLES + 1, VAD_FRAME_SAMPLES):
        ((probability,),), (state,) = engine.score(samples[None, None, start : start + VAD_FRAME_SAMPLES], [state])
        found.append(probability)
    return np.array(found)


def test_scores_are_those_of_the_model_run_as_its_package_does(
    engine: SileroVad, folder: Path, recording: Recording
) -> None:
    samples = recording("faster_whisper/jfk.flac")[:40_000]
    session = OnnxSession(folder / "silero_vad.onnx")
    memory = np.zeros((2, 1, 128), np.float32)
    expected: list[float] = []
    padded = np.concatenate((np.zeros(64, np.float32), samples))
    for start in range(0, len(samples) - 511, 512):
        heard = padded[None, start : start + 576]
        output, memory = session.run(("output", "stateN"), {"input": heard, "state": memory, "sr": np.array(16_000)})
        expected.append(output[0, 0])
    np.testing.assert_allclose(scores(engine, samples), expected, atol=1e-5)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_noise_is_not_speech(engine: SileroVad, recording: Recording, number: int) -> None:
    assert np.mean(scores(engine, recording(f"noise_rir/noise{number}.flac")) > 0.5) < 0.02


def test_pauses_between_phrases_are_silent(engine: SileroVad, recording: Recording) -> None:
    voiced = scores(engine, recording("faster_whisper/jfk.flac")) > 0.5
    assert 0.5 < voiced.mean() < 0.85


def test_a_stream_can_join_others_at_any_frame(engine: SileroVad, recording: Recording) -> None:
    samples = recording("speechbrain/spk1_snt1.flac")
    frames = samples[: 40 * VAD_FRAME_SAMPLES].reshape(40, VAD_FRAME_SAMPLES)
    alone = scores(engine, frames.reshape(-1))
    first, second = engine.initial_state(), engine.initial_state()
    for step in range(10):
        _, (first,) = engine.score(frames[None, None, step], [first])
    for step in range(10, 30):
        ((one,), (other,)), (first, second) = engine.score(frames[[step, step - 10], None], [first, second])
        assert one == pytest.approx(alone[step], abs=1e-4)
        assert other == pytest.approx(alone[step - 10], abs=1e-4)


def test_frames_of_another_length_are_refused(engine: SileroVad) -> None:
    with pytest.raises(ValueError, match=r"\(1, t, 512\)"):
        engine.score(np.zeros((1, 1, 480), np.float32), [engine.initial_state()])


@pytest.mark.parametrize("content", [b"", b"\xff", b"\x3a\x00"])
def test_a_file_with_another_network_is_corrupt(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "silero_vad.onnx").write_bytes(content)
    with pytest.raises(SpeechError, match="models pull") as raised:
        SileroVad(tmp_path)
    assert raised.value.code is ErrorCode.MODEL_CORRUPT


def test_a_network_that_begins_with_another_transform_is_corrupt(folder: Path, tmp_path: Path) -> None:
    file = (folder / "silero_vad.onnx").read_bytes()
    basis = constants(file)["If_0_then_branch__Inline_0__stft.forward_basis_buffer"]
    (tmp_path / "silero_vad.onnx").write_bytes(file.replace(basis.tobytes(), basis[::-1].tobytes()))
    with pytest.raises(SpeechError) as raised:
        SileroVad(tmp_path)
    assert raised.value.code is ErrorCode.MODEL_CORRUPT
