"""XTTS by its real path, from files on disk to streamed audio, with a small model whose weights are random."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from engines.base import Cancellation, TtsJob
from engines.coqui import xtts
from engines.coqui.cloned_voices import REFERENCE_RATE_HZ, Consent, add_voice, remove_voice
from engines.coqui.cloning import VoiceCloning
from engines.coqui.torch_runtime import import_extra
from engines.coqui.xtts import XttsTts
from engines.host import EngineHost
from engines.installed import installed_engines
from engines.models.catalog import Catalog
from engines.models.store import ModelStore
from engines.spec import HostSettings
from schemas.errors import ErrorCode, SpeechError

_torch: Any = import_extra("torch")
_configs: Any = import_extra("TTS.tts.configs.xtts_config")
_models: Any = import_extra("TTS.tts.models.xtts")

NAME = "xtts-v2"
SAMPLES = (0.3 * np.sin(np.arange(4 * REFERENCE_RATE_HZ) / 30)).astype(np.float32)
CONSENT = Consent(given_by="Ada", given_at="2026-01-02", statement="I agree.", scope="tests", language="en-GB")


def small_config() -> Any:
    return _configs.XttsConfig(
        model_args=_configs.XttsArgs(
            gpt_layers=2,
            gpt_n_model_channels=64,
            gpt_n_heads=2,
            gpt_max_audio_tokens=45,
            gpt_max_text_tokens=200,
            gpt_num_audio_tokens=66,
            gpt_start_audio_token=64,
            gpt_stop_audio_token=65,
            gpt_code_stride_len=1024,
            decoder_input_dim=64,
        )
    )


def write_vocabulary(path: Path) -> None:
    tokens = ["[STOP]", "[UNK]", "[SPACE]", "[START]", "[en]", *"abcdefghijklmnopqrstuvwxyz.,?!'"]
    made: Any = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, [], unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(tokens[:5])
    made.save(str(path))


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed model and one voice."""
    source = tmp_path_factory.mktemp("source")
    _torch.manual_seed(0)
    write_vocabulary(source / "vocab.json")
    config = small_config()
    config.save_json(str(source / "config.json"))
    model = _models.Xtts(config)
    model.tokenizer = _models.VoiceBpeTokenizer(vocab_file=str(source / "vocab.json"))
    model.init_models()
    _torch.save({"model": model.state_dict(), "config": config}, source / "model.pth")
    root = tmp_path_factory.mktemp("models")
    store = ModelStore(root, Catalog.load())
    store.pull(NAME, source=source, licence_accepted=True)
    add_voice(root / "voices", "ada", SAMPLES, CONSENT)
    add_voice(root / "voices", "eve", SAMPLES[::-1], CONSENT)
    return store.path(NAME)


@pytest.fixture(scope="module")
def engine(model_dir: Path) -> Iterator[XttsTts]:
    _torch.set_num_threads(1)
    made = XttsTts(model_dir, device="cpu")
    yield made
    made.close()


def job(text: str, *, voice: str = "ada", cancellation: Cancellation | None = None, speed: float = 1.0) -> TtsJob:
    return TtsJob(text=text, voice=voice, cancellation=cancellation or Cancellation(), speed=speed)


def test_speech_is_streamed_in_chunks(engine: XttsTts) -> None:
    chunks = list(engine.synthesize(job("Hello there. How are you?")))
    assert len(chunks) > 2
    for chunk in chunks:
        assert chunk.sample_rate_hz == 24_000
        assert chunk.samples.dtype == np.float32
        assert np.abs(chunk.samples).max() <= 1.0
        assert np.isfinite(chunk.samples).all()
    assert engine.voices[0].id == "ada"


def test_two_utterances_in_turns_do_not_mix(engine: XttsTts, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = engine._model.inference_stream  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(
        engine._model,  # pyright: ignore[reportPrivateUsage]
        "inference_stream",
        partial(stream, top_k=1),
    )
    texts = ["hello there", "a rather different and longer text"]
    alone = [np.concatenate([chunk.samples for chunk in engine.synthesize(job(text))]) for text in texts]
    in_turns = zip_longest(*(engine.synthesize(job(text)) for text in texts))
    for whole, chunks in zip(alone, zip(*in_turns, strict=True), strict=True):
        joined = np.concatenate([chunk.samples for chunk in chunks if chunk is not None])
        assert joined.shape == whole.shape
        assert np.abs(joined - whole).max() < 1e-4


def test_latents_are_kept_for_the_voices_used_last(engine: XttsTts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xtts, "_LATENTS_KEPT", 1)
    computed: list[int] = []
    embed = engine._model.get_speaker_embedding  # pyright: ignore[reportPrivateUsage]

    def counted(*args: Any) -> Any:
        computed.append(1)
        return embed(*args)

    monkeypatch.setattr(engine._model, "get_speaker_embedding", counted)  # pyright: ignore[reportPrivateUsage]
    engine._latents.clear()  # pyright: ignore[reportPrivateUsage]
    for voice in ("ada", "ada", "eve", "eve", "ada"):
        next(engine.synthesize(job("hello", voice=voice)))
    assert len(computed) == 3
    assert len(engine._latents) == 1  # pyright: ignore[reportPrivateUsage]


def test_speed_changes_the_length(engine: XttsTts) -> None:
    def samples(speed: float) -> int:
        _torch.manual_seed(0)  # the model draws its tokens, and their number, by chance
        return sum(len(chunk.samples) for chunk in engine.synthesize(job("one two three four", speed=speed)))

    assert samples(2.0) < samples(0.7)


def test_a_long_text_is_spoken_in_pieces(engine: XttsTts) -> None:
    pieces = xtts._pieces("word " * 100 + ". Next! ...")  # pyright: ignore[reportPrivateUsage]
    assert max(map(len, pieces)) <= 180
    assert " ".join(pieces).count("word") == 100
    assert list(engine.synthesize(job(" ... "))) == []


def test_cancellation_stops_between_chunks(engine: XttsTts) -> None:
    cancellation = Cancellation()
    chunks = engine.synthesize(job("hello there, how are you", cancellation=cancellation))
    next(chunks)
    cancellation.cancel()
    with pytest.raises(SpeechError) as raised:
        next(chunks)
    assert raised.value.code is ErrorCode.CANCELLED


def test_the_files_are_left_as_they_are(model_dir: Path, engine: XttsTts) -> None:
    """Coqui rewrites a checkpoint with a configuration in it, unless it is allowed to be read as it is."""
    assert engine.voices
    digest = hashlib.sha256((model_dir / "model.pth").read_bytes()).hexdigest()
    described = {file.path: file.sha256 for file in ModelStore(model_dir.parent, Catalog.load()).catalog[NAME].files}
    assert digest == described["model.pth"]


@pytest.mark.parametrize(
    ("voice", "code"), [("nobody", ErrorCode.UNKNOWN_VOICE), ("klingon", ErrorCode.UNSUPPORTED_LANGUAGE)]
)
def test_voices_it_cannot_speak_with_are_refused(model_dir: Path, voice: str, code: ErrorCode) -> None:
    folder = model_dir.parent / "voices"
    consent = Consent(given_by="Worf", given_at="2026", statement="yes", scope="tests", language="tlh")
    add_voice(folder, "klingon", SAMPLES, consent)
    engine = XttsTts(model_dir, device="cpu")
    with pytest.raises(SpeechError) as raised:
        next(engine.synthesize(job("hello", voice=voice)))
    remove_voice(folder, "klingon")
    assert raised.value.code is code


def test_without_consent_a_voice_is_not_spoken(model_dir: Path) -> None:
    folder = model_dir.parent / "voices"
    add_voice(folder, "mallory", SAMPLES, CONSENT)
    engine = XttsTts(model_dir, device="cpu")
    (folder / "mallory" / "consent.json").unlink()
    with pytest.raises(SpeechError) as raised:
        next(engine.synthesize(job("hello", voice="mallory")))
    remove_voice(folder, "mallory")
    assert raised.value.code is ErrorCode.CONSENT_REQUIRED


class _RunsWhenUnpickled:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.witness),)


def test_a_checkpoint_that_would_run_code_is_not_unpickled(model_dir: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_dir, tmp_path / NAME))
    _torch.save({"model": _RunsWhenUnpickled(tmp_path / "ran")}, folder / "model.pth")
    with pytest.raises(SpeechError) as raised:
        XttsTts(folder, device="cpu")
    assert raised.value.code is ErrorCode.MODEL_CORRUPT
    assert not (tmp_path / "ran").exists()


def test_a_name_that_is_anothers_now_is_spoken_with_the_others_voice(engine: XttsTts, model_dir: Path) -> None:
    folder = model_dir.parent / "voices"
    add_voice(folder, "kim", SAMPLES, CONSENT)
    next(engine.synthesize(job("hello", voice="kim")))
    before = engine._condition("kim")[1]  # pyright: ignore[reportPrivateUsage]
    remove_voice(folder, "kim")
    with pytest.raises(SpeechError) as caught:
        next(engine.synthesize(job("hello", voice="kim")))
    assert caught.value.code is ErrorCode.UNKNOWN_VOICE
    add_voice(folder, "kim", SAMPLES[::3].repeat(3), CONSENT)
    after = engine._condition("kim")[1]  # pyright: ignore[reportPrivateUsage]
    remove_voice(folder, "kim")
    assert float((before - after).abs().max()) > 0.0


@pytest.mark.anyio
async def test_a_voice_cloned_while_the_model_is_at_hand_speaks_at_once(model_dir: Path) -> None:
    root = model_dir.parent
    settings = HostSettings(device="cpu")
    async with EngineHost(installed_engines(ModelStore(root, Catalog.load()), settings), settings) as host:
        cloning = VoiceCloning(root / "voices", host)

        async def spoken(voice: str) -> int:
            async with host.synthesize("hello", voice=voice) as chunks:
                return sum([len(chunk.samples) async for chunk in chunks])

        assert await spoken("ada") > 0, "the model is loaded"
        made = await cloning.add("kim", SAMPLES, CONSENT)
        assert (made.id, made.cloned) == ("kim", True)
        assert await spoken("kim") > 0
        await cloning.remove("kim")
        with pytest.raises(SpeechError) as caught:
            await spoken("kim")
        assert caught.value.code is ErrorCode.UNKNOWN_VOICE
