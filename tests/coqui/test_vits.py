"""A Piper voice on torch, beside the same voice on ONNX Runtime."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from engines.base import Cancellation, Pronunciation, TtsJob
from engines.coqui.convert import convert_piper_voice
from engines.coqui.piper_import import import_voice, read_voice
from engines.coqui.torch_runtime import import_extra
from engines.coqui.vits import CoquiVitsTts, read_coqui_voice
from engines.coqui.vits_network import load_network
from engines.installed import installed_engines
from engines.models.catalog import Catalog
from engines.models.store import ModelStore
from engines.piper import PiperTts
from engines.spec import HostSettings
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError

_soxr: Any = soxr
_torch: Any = import_extra("torch")

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "Why is the sky blue?",
    "No.",
    "We met at nine o'clock, had coffee, and then walked along the river until it began to rain.",
    "Please confirm your appointment on Thursday, the fourteenth of March.",
]


@pytest.fixture(scope="module")
def coqui(imported_dir: Path) -> Iterator[CoquiVitsTts]:
    _torch.set_num_threads(1)
    engine = CoquiVitsTts(imported_dir, device="cpu")
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def piper(piper_dir: Path) -> Iterator[PiperTts]:
    engine = PiperTts(piper_dir)
    yield engine
    engine.close()


def without_noise(engine: PiperTts, sentence: str, *, speed: float = 1.0) -> tuple[Samples, Any]:
    """Audio, and where its phonemes begin."""
    (phonemes,) = engine._sentences(sentence)  # pyright: ignore[reportPrivateUsage]
    latents, edges = engine._latents(phonemes, speed=speed, noise=0.0)  # pyright: ignore[reportPrivateUsage]
    return np.concatenate(list(engine._audio(latents))), edges  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_without_noise_the_audio_is_that_of_the_graph(coqui: CoquiVitsTts, piper: PiperTts, sentence: str) -> None:
    ours, our_edges = without_noise(coqui, sentence)
    theirs, their_edges = without_noise(piper, sentence)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-3
    assert np.array_equal(our_edges, their_edges)


def test_speed_is_that_of_the_graph(coqui: CoquiVitsTts, piper: PiperTts) -> None:
    ours, _ = without_noise(coqui, SENTENCES[0], speed=1.5)
    theirs, _ = without_noise(piper, SENTENCES[0], speed=1.5)
    assert np.abs(ours - theirs).max() <= 1e-3


def test_what_is_said_is_understood(coqui: CoquiVitsTts, model_dir: Callable[[str], Path]) -> None:
    from faster_whisper import WhisperModel  # noqa: PLC0415 (slow)

    whisper: Any = WhisperModel(str(model_dir("whisper-tiny.en")), device="cpu", compute_type="int8", cpu_threads=1)
    text = "The quick brown fox jumps over the lazy dog. Why is the sky blue?"
    chunks = list(coqui.synthesize(TtsJob(text=text, voice=coqui.voices[0].id, cancellation=Cancellation())))
    samples = _soxr.resample(np.concatenate([chunk.samples for chunk in chunks]), chunks[0].sample_rate_hz, 16_000)
    heard = " ".join(segment.text.strip() for segment in whisper.transcribe(samples, language="en")[0])
    assert heard == text


def test_a_pronunciation_is_said(coqui: CoquiVitsTts, piper: PiperTts) -> None:
    def seconds(engine: PiperTts) -> float:
        job = TtsJob(
            text="Say data now.",
            voice=engine.voices[0].id,
            cancellation=Cancellation(),
            pronunciations=(Pronunciation(4, 8, "təmˈɑːtoʊ pətˈeɪtoʊ təmˈɑːtoʊ"),),
        )
        return sum(len(chunk.samples) / chunk.sample_rate_hz for chunk in engine.synthesize(job))

    plain = TtsJob(text="Say data now.", voice=coqui.voices[0].id, cancellation=Cancellation())
    plain_s = sum(len(chunk.samples) / chunk.sample_rate_hz for chunk in coqui.synthesize(plain))
    assert seconds(coqui) > plain_s + 0.5
    assert abs(seconds(coqui) - seconds(piper)) < 0.5


def test_a_batch_gives_what_each_alone_gives(imported_dir: Path) -> None:
    network: Any = load_network(imported_dir, device=_torch.device("cpu"), max_batch=4)
    generator = np.random.default_rng(1)

    def inputs(length: int, length_scale: float) -> dict[str, Any]:
        return {
            "input": generator.integers(1, 130, (1, length)),
            "input_lengths": np.array([length]),
            "scales": np.array([0.0, length_scale, 0.0], np.float32),
        }

    batch = [inputs(9, 1.0), inputs(120, 1.0), inputs(47, 0.5)]
    together = network.front._gathering._compute(batch)
    for asked, made in zip(batch, together, strict=True):
        latents, durations = network.front.run(("latents", "durations"), asked)
        assert np.array_equal(durations, made["durations"])
        assert np.abs(latents - made["latents"]).max() < 1e-4
    frames = [generator.standard_normal((1, 192, 40)).astype(np.float32) for _ in range(3)]
    mask = np.ones((1, 1, 40), np.float32)
    flows = [{"latents": each, "mask": mask} for each in frames]
    for asked, made in zip(flows, network.flow._gathering._compute(flows), strict=True):
        assert np.abs(network.flow.run(("frames",), asked)[0] - made["frames"]).max() < 1e-4
    decodes = [{"frames": each} for each in frames]
    for asked, made in zip(decodes, network.decoder._gathering._compute(decodes), strict=True):
        assert np.abs(network.decoder.run(("audio",), asked)[0] - made["audio"]).max() < 1e-4


def test_coquis_own_class_loads_the_checkpoint(imported_dir: Path) -> None:
    config: Any = import_extra("TTS.tts.configs.vits_config").VitsConfig()
    config.load_json(str(imported_dir / "config.json"))
    model: Any = import_extra("TTS.tts.models.vits").Vits(config)
    model.load_checkpoint(config, str(imported_dir / "model.pth"), eval=True, strict=False)
    symbols = _torch.arange(3, 30)[None]
    assert model.inference(symbols)["model_outputs"].shape[-1] > 256


def test_a_converted_voice_is_installed_and_speaks(piper_dir: Path, tmp_path: Path) -> None:
    entry = convert_piper_voice(ModelStore(tmp_path, Catalog.load()), str(piper_dir))
    spec = installed_engines(ModelStore(tmp_path, Catalog.load()), HostSettings(device="cpu"))[entry.name]
    assert [voice.id for voice in spec.voices] == ["coqui-en_US-joe-medium"]
    engine: Any = spec.load()
    job = TtsJob(text="Hello.", voice=spec.voices[0].id, cancellation=Cancellation())
    assert sum(len(chunk.samples) for chunk in engine.synthesize(job)) > 5_000


def test_the_voice_has_a_name_of_its_own(coqui: CoquiVitsTts, imported_dir: Path) -> None:
    assert coqui.voices == (read_coqui_voice(imported_dir),)
    assert coqui.voices[0].id == "coqui-en_US-joe-medium"


class _RunsWhenUnpickled:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.witness),)


class TestRefusal:
    @pytest.fixture
    def folder(self, imported_dir: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(imported_dir, tmp_path / "voice"))

    def refused(self, folder: Path) -> ErrorCode:
        with pytest.raises(SpeechError) as raised:
            CoquiVitsTts(folder, device="cpu")
        assert str(folder.parent) not in raised.value.message
        return raised.value.code

    def test_a_checkpoint_that_would_run_code_is_not_unpickled(self, folder: Path, tmp_path: Path) -> None:
        _torch.save({"model": _RunsWhenUnpickled(tmp_path / "ran")}, folder / "model.pth")
        assert self.refused(folder) is ErrorCode.MODEL_CORRUPT
        assert not (tmp_path / "ran").exists()

    def test_a_checkpoint_that_lacks_weights_is_corrupt(self, folder: Path) -> None:
        weights = _torch.load(folder / "model.pth", weights_only=True)["model"]
        del weights["flow.flows.0.pre.weight"]
        _torch.save({"model": weights}, folder / "model.pth")
        assert self.refused(folder) is ErrorCode.MODEL_CORRUPT

    def test_a_configuration_cannot_name_classes_or_files(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        config["characters"]["characters_class"] = "os.system"
        config["model_args"]["speaker_encoder_model_path"] = "/etc/passwd"
        (folder / "config.json").write_text(json.dumps(config), "utf-8")
        CoquiVitsTts(folder, device="cpu").close()

    @pytest.mark.parametrize("name", ["config.json", "model.pth", "en_US-joe-medium.onnx.json"])
    def test_a_folder_without_one_of_the_files_is_corrupt(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        assert self.refused(folder) is ErrorCode.MODEL_CORRUPT

    @pytest.mark.skipif(_torch.cuda.is_available(), reason="there is a GPU")
    def test_a_gpu_that_is_not_there_is_an_invalid_setting(self, imported_dir: Path) -> None:
        with pytest.raises(SpeechError) as raised:
            CoquiVitsTts(imported_dir, device="cuda")
        assert raised.value.code is ErrorCode.INVALID_SETTING

    @pytest.mark.parametrize("damage", ["not ONNX", "another model", "no configuration", "no graph"])
    def test_what_is_no_piper_voice_is_not_imported(
        self, piper_dir: Path, model_dir: Callable[[str], Path], tmp_path: Path, damage: str
    ) -> None:
        source, target = tmp_path / "source", tmp_path / "target"
        target.mkdir()
        shutil.copytree(piper_dir, source)
        (graph,) = source.glob("*.onnx")
        match damage:
            case "not ONNX":
                graph.write_bytes(b"not ONNX")
            case "another model":
                shutil.copyfile(next(model_dir("silero-vad-v6").glob("*.onnx")), graph)
            case "no configuration":
                graph.with_name(graph.name + ".json").unlink()
            case _:
                graph.unlink()
        with pytest.raises(SpeechError) as raised:
            import_voice(source, target)
        assert raised.value.code is ErrorCode.MODEL_CORRUPT
        assert list(target.iterdir()) == []


def test_hyper_parameters_are_read_off_the_graph(piper_dir: Path) -> None:
    voice = read_voice(next(piper_dir.glob("*.onnx")))
    assert voice.model_args["upsample_rates_decoder"] == [8, 8, 4]
    assert voice.model_args["resblock_type_decoder"] == "2"
    assert voice.model_args["resblock_dilation_sizes_decoder"] == [[1, 2], [2, 6], [3, 12]]
    assert voice.model_args["num_heads_text_encoder"] == 2
