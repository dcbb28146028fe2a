from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
import soxr

from engines import installed
from engines.base import AsrOptions, Lanes, TurnAudio
from engines.host import EngineHost
from engines.installed import installed_engines
from engines.models.catalog import Catalog
from engines.models.store import ModelStore
from engines.spec import HostSettings
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind

_soxr: Any = soxr

VOICE = "piper-en_US-joe-medium"


def test_every_model_of_the_catalog_with_an_adapter_is_known_before_it_is_installed(tmp_path: Path) -> None:
    engines = installed_engines(ModelStore(tmp_path, Catalog.load()), HostSettings())
    assert {spec.kind for spec in engines.values()} == set(ModelKind)
    assert not any(spec.installed or spec.voices for spec in engines.values())
    assert {name for name, spec in engines.items() if spec.default} == {
        "whisper-base",
        VOICE,
        "silero-vad-v6",
        "smart-turn-v3.2",
    }


def test_loading_a_model_that_is_not_installed_says_what_to_run(tmp_path: Path) -> None:
    engines = installed_engines(ModelStore(tmp_path, Catalog.load()), HostSettings())
    with pytest.raises(SpeechError, match="antiphon models pull whisper-base") as raised:
        engines["whisper-base"].load()
    assert raised.value.code is ErrorCode.MODEL_NOT_INSTALLED


def test_a_damaged_voice_is_not_offered_and_does_not_stop_the_others(tmp_path: Path) -> None:
    catalog = Catalog.load()
    (tmp_path / VOICE).mkdir()
    for file in catalog[VOICE].files:
        with (tmp_path / VOICE / file.path).open("wb") as damaged:
            damaged.truncate(file.size_bytes)
    spec = installed_engines(ModelStore(tmp_path, catalog), HostSettings())[VOICE]
    assert spec.installed
    assert spec.voices == ()


@pytest.mark.real
def test_recognition_has_the_workers_asked_for_or_enough_that_a_turn_need_not_wait_for_a_file(
    model_dir: Callable[[str], Path],
) -> None:
    store = ModelStore(model_dir("whisper-tiny.en").parent, Catalog.load())

    def lanes(**settings: Any) -> Lanes:
        engine = installed_engines(store, HostSettings(device="cpu", **settings))["whisper-tiny.en"].load()
        engine.close()
        return engine.lanes

    assert lanes(asr_workers=3, asr_max_batch=5) == Lanes(3, 5)
    assert 2 <= lanes().workers <= 4
    assert lanes().max_batch in {1, 4}


@pytest.mark.parametrize(
    ("weights_mb", "cores", "cpu_threads", "threads"),
    [(144, 2, None, 1), (144, 16, None, None), (484, 2, None, None), (144, 2, 2, None), (None, 2, None, None)],
)
def test_a_turn_has_one_thread_where_the_weights_are_small_and_nobody_says_otherwise(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    weights_mb: int | None,
    cores: int,
    cpu_threads: int | None,
    threads: int | None,
) -> None:
    asked: list[int | None] = []

    def recogniser(_: Path, *, turn_threads: int | None, **__: Any) -> None:
        asked.append(turn_threads)

    monkeypatch.setattr("engines.whisper.WhisperAsr", recogniser)
    monkeypatch.setattr("engines.installed.usable_cores", lambda: cores)
    if weights_mb is not None:
        with (tmp_path / "model.bin").open("wb") as file:
            file.truncate(weights_mb * 1_000_000)
    installed._whisper(tmp_path, HostSettings(cpu_threads=cpu_threads))  # pyright: ignore[reportPrivateUsage]
    assert asked == [threads]


@pytest.mark.real
@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (3, 2), (6, 3), (64, 4)])
def test_a_synthesis_has_two_threads_where_it_can_and_more_where_there_are_more_cores(
    model_dir: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, cores: int, threads: int
) -> None:
    asked: list[int] = []

    def speaker(_: Path, *, threads: int, **__: Any) -> None:
        asked.append(threads)

    engines = installed_engines(ModelStore(model_dir(VOICE).parent, Catalog.load()), HostSettings(tts_workers=2))
    monkeypatch.setattr("engines.installed.usable_cores", lambda: cores)
    monkeypatch.setattr("engines.piper.PiperTts", speaker)
    monkeypatch.setattr("engines.kokoro.KokoroTts", speaker)
    for name in (VOICE, "kokoro-82m-v1.0-int8"):
        engines[name].load()
    assert asked == [threads, threads]


@pytest.mark.real
@pytest.mark.anyio
async def test_real_engines_say_hear_and_judge_a_sentence(model_dir: Callable[[str], Path]) -> None:
    store = ModelStore(model_dir("whisper-tiny.en").parent, Catalog.load())
    settings = HostSettings(asr_model="whisper-tiny.en")
    with anyio.fail_after(120.0):
        async with EngineHost(installed_engines(store, settings), settings) as host:
            assert host.voice("alloy").id == "en_US-joe-medium"
            async with host.synthesize("The quick brown fox jumps over the lazy dog.") as chunks:
                spoken = [chunk async for chunk in chunks]
            rate_hz = spoken[0].sample_rate_hz
            samples = _soxr.resample(np.concatenate([chunk.samples for chunk in spoken]), rate_hz, 16_000)
            transcript = await host.transcribe(samples, AsrOptions(language="en"))
            assert "quick brown fox" in transcript.text.lower()
            assert await host.score_turn(TurnAudio(samples, 0)) is not None
            state = host.vad_initial_state()
            heard: list[float] = []
            for frame in samples[: 512 * 30].reshape(30, 1, 1, 512):
                probabilities, (state,) = await host.score_vad(frame, [state])
                heard.append(float(probabilities[0, 0]))
            assert max(heard) > 0.9
            assert sum(model.loaded for model in host.models()) == 4
