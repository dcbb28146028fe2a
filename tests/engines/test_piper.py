from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.base import Cancellation, TtsJob
from engines.piper import PiperTts, read_voice
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import SpeechChunk, Voice

NAME = "piper-en_US-joe-medium"
VOICE = "en_US-joe-medium"
RATE_HZ = 22_050


@pytest.fixture(scope="module")
def steady(model_dir: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The voice with its randomness turned off: the same text always gives the same audio."""
    source = model_dir(NAME)
    folder = tmp_path_factory.mktemp("voices") / "steady"
    folder.mkdir()
    (folder / f"{VOICE}.onnx").symlink_to(source / f"{VOICE}.onnx")
    config = json.loads((source / f"{VOICE}.onnx.json").read_text("utf-8"))
    config["inference"] |= {"noise_scale": 0.0, "noise_w": 0.0}
    (folder / f"{VOICE}.onnx.json").write_text(json.dumps(config), "utf-8")
    return folder


@pytest.fixture(scope="module")
def engine(steady: Path) -> Iterator[PiperTts]:
    engine = PiperTts(steady)
    yield engine
    engine.close()


def spoken(engine: PiperTts, text: str) -> list[SpeechChunk]:
    return list(engine.synthesize(TtsJob(text=text, voice=VOICE, cancellation=Cancellation())))


def level(samples: Samples, start_s: float, end_s: float) -> float:
    return float(np.sqrt(np.mean(samples[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)] ** 2)))


@pytest.mark.real
class TestSynthesis:
    def test_the_audio_is_what_piper_makes_of_the_text(self, engine: PiperTts, steady: Path) -> None:
        from piper import PiperVoice  # noqa: PLC0415 (an extra)

        text = "The first sentence, with a clause. Is this the second? It costs $3.50!"
        expected = list(PiperVoice.load(steady / f"{VOICE}.onnx").synthesize(text))
        chunks = spoken(engine, text)
        assert len(chunks) == len(expected) == 3
        for ours, theirs in zip(chunks, expected, strict=True):
            np.testing.assert_allclose(ours.samples, theirs.audio_float_array, atol=1e-3)
            assert ours.sample_rate_hz == theirs.sample_rate

    def test_words_lie_where_they_sound(self, engine: PiperTts) -> None:
        (chunk,) = spoken(engine, "Seven horses, seven wagons.")
        words = chunk.words
        assert [word.text for word in words] == ["Seven", "horses,", "seven", "wagons."]
        pause_s = (words[1].end_s, words[2].start_s)
        assert pause_s[1] - pause_s[0] > 0.1
        quiet = max(level(chunk.samples, *pause_s), level(chunk.samples, words[-1].end_s, len(chunk.samples) / RATE_HZ))
        assert all(level(chunk.samples, word.start_s, word.end_s) > 3 * quiet for word in words)

    def test_a_word_lasts_as_long_as_its_own_sounds(self, engine: PiperTts) -> None:
        (chunk,) = spoken(engine, "I see incomprehensibilities there")
        lengths_s = {word.text: word.end_s - word.start_s for word in chunk.words}
        assert lengths_s["incomprehensibilities"] > 3 * max(lengths_s["I"], lengths_s["see"], lengths_s["there"])

    def test_numbers_and_abbreviations_last_as_long_as_they_are_read(self, engine: PiperTts) -> None:
        text = "Dr. Smith paid $3.50 in 2024 for the U.S. book; of the — many!"
        chunks = spoken(engine, text)
        words = [word for chunk in chunks for word in chunk.words]
        assert [(word.text_start, word.text_end) for word in words] == [
            each.span() for each in re.finditer(r"\S+", text)
        ]
        lengths_s = {word.text: word.end_s - word.start_s for word in words}
        assert lengths_s["—"] == 0.0
        assert min(lengths_s["$3.50"], lengths_s["2024"]) > 2 * lengths_s["paid"]

    def test_a_sentence_without_end_is_cut_between_words(self, engine: PiperTts) -> None:
        text = "seventeen wonderful elephants " * 26
        chunks = spoken(engine, text)
        assert len(chunks) == 2
        assert [word.text for chunk in chunks for word in chunk.words] == text.split()
        assert all(len(chunk.samples) < 60 * RATE_HZ for chunk in chunks)

    def test_a_word_without_end_is_cut_anywhere(self, engine: PiperTts) -> None:
        text = "ah" * 400
        (word,) = [word for chunk in spoken(engine, text) for word in chunk.words]
        assert word.text == text


@pytest.mark.real
class TestVoice:
    def test_its_id_and_language_come_from_the_file(self, model_dir: Callable[[str], Path]) -> None:
        assert read_voice(model_dir(NAME)) == Voice(VOICE, NAME, "en-US", RATE_HZ, name="joe")

    def test_the_engine_has_that_voice(self, engine: PiperTts) -> None:
        assert [voice.id for voice in engine.voices] == [VOICE]


class TestRefusal:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "xx_YY-nobody-low.onnx").write_bytes(b"no model")
        (tmp_path / "xx_YY-nobody-low.onnx.json").write_text('{"audio": {"sample_rate": 16000}}', "utf-8")
        return tmp_path

    def test_without_piper_the_extra_is_named(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "piper", None)
        with pytest.raises(SpeechError, match=r"pip install 'antiphon\[piper\]'") as raised:
            PiperTts(folder)
        assert raised.value.code is ErrorCode.MISSING_EXTRA

    @pytest.mark.parametrize("damage", ["no graph", "two graphs", "no configuration", "broken configuration"])
    def test_a_folder_that_is_no_voice_is_corrupt(self, folder: Path, damage: str) -> None:
        graph = folder / "xx_YY-nobody-low.onnx"
        config = folder / "xx_YY-nobody-low.onnx.json"
        match damage:
            case "no graph":
                graph.unlink()
            case "two graphs":
                (folder / "second.onnx").write_bytes(b"")
            case "no configuration":
                config.unlink()
            case _:
                config.write_text("{", "utf-8")
        with pytest.raises(SpeechError) as raised:
            read_voice(folder)
        assert raised.value.code is ErrorCode.MODEL_CORRUPT
        assert str(folder.parent) not in raised.value.message

    def test_a_graph_that_is_no_vits_model_is_corrupt(self, folder: Path) -> None:
        pytest.importorskip("piper")
        with pytest.raises(SpeechError) as raised:
            PiperTts(folder)
        assert raised.value.code is ErrorCode.MODEL_CORRUPT


@pytest.mark.real
def test_cuda_is_refused_where_there_is_none(steady: Path) -> None:
    import onnxruntime  # noqa: PLC0415 (slow to import)

    runtime: Any = onnxruntime
    if "CUDAExecutionProvider" in runtime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(SpeechError, match="onnxruntime-gpu") as raised:
        PiperTts(steady, cuda=True)
    assert raised.value.code is ErrorCode.INVALID_SETTING


def test_importing_the_adapter_imports_nothing_under_the_gpl() -> None:
    code = "import sys, engines.piper; sys.exit('piper' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
