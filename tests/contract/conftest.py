"""What every implementation of a Protocol is given to work on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import Struct

from engines.base import Asr, Tts, TurnAudio, TurnDetector, Vad
from engines.fake import FakeAsr, FakeTts, FakeTurnDetector, FakeVad
from engines.tones import encode_word
from schemas.audio import SESSION_RATE_HZ, Samples

JFK = "faster_whisper/jfk.flac"
BRIDGE = "gcp/brooklyn_bridge.flac"


class Recogniser(Struct, frozen=True, eq=False):
    """An ASR engine, and speech it understands."""

    engine: Asr
    bridge: Samples
    """“how old is the Brooklyn Bridge”."""
    country: Samples
    """Longer: something with “country”."""


class Listener(Struct, frozen=True, eq=False):
    """A VAD or turn detector, and what it can tell apart."""

    engine: Any
    speech: tuple[Any, ...]
    """Clips that are speech for the most part."""


def spoken_in_tones(text: str) -> Samples:
    return np.concatenate([encode_word(word, SESSION_RATE_HZ) for word in text.split()])


@pytest.fixture(scope="module", params=["fake", pytest.param("whisper", marks=pytest.mark.real)])
def recogniser(request: pytest.FixtureRequest) -> Iterator[Recogniser]:
    if request.param == "fake":
        yield Recogniser(
            FakeAsr(),
            spoken_in_tones("how old is the Brooklyn Bridge?"),
            spoken_in_tones("Ask not what your country can do. Ask what you can do for your country."),
        )
        return
    from engines.whisper import WhisperAsr  # noqa: PLC0415 (slow to import)

    recording: Callable[[str], Samples] = request.getfixturevalue("recording")
    model_dir: Callable[[str], Path] = request.getfixturevalue("model_dir")
    engine = WhisperAsr(model_dir("whisper-tiny.en"), device="cpu", compute_type="int8")
    yield Recogniser(engine, recording(BRIDGE), recording(JFK))
    engine.close()


@pytest.fixture(scope="module")
def asr(recogniser: Recogniser) -> Asr:
    return recogniser.engine


@pytest.fixture(
    scope="module",
    params=["fake", pytest.param("piper", marks=pytest.mark.real), pytest.param("kokoro", marks=pytest.mark.real)],
)
def tts(request: pytest.FixtureRequest) -> Iterator[Tts]:
    if request.param == "fake":
        yield FakeTts()
        return
    model_dir: Callable[[str], Path] = request.getfixturevalue("model_dir")
    engine: Tts
    if request.param == "kokoro":
        from engines.kokoro import KokoroTts  # noqa: PLC0415 (slow to import)

        engine = KokoroTts(model_dir("kokoro-82m-v1.0-int8"))
    else:
        from engines.piper import PiperTts  # noqa: PLC0415 (slow to import)

        engine = PiperTts(model_dir("piper-en_US-joe-medium"))
    yield engine
    engine.close()


@pytest.fixture(scope="module", params=["fake", pytest.param("silero", marks=pytest.mark.real)])
def vad_listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    if request.param == "fake":
        yield Listener(FakeVad(), tuple(map(spoken_in_tones, ("one two three", "four five six", "seven eight nine"))))
        return
    from engines.silero import SileroVad  # noqa: PLC0415 (slow to import)

    recording: Callable[[str], Samples] = request.getfixturevalue("recording")
    model_dir: Callable[[str], Path] = request.getfixturevalue("model_dir")
    engine = SileroVad(model_dir("silero-vad-v6"))
    names = (BRIDGE, "speechbrain/spk1_snt1.flac", "pocketsphinx/goforward.flac")
    yield Listener(engine, tuple(map(recording, names)))
    engine.close()


@pytest.fixture(scope="module")
def vad(vad_listener: Listener) -> Vad:
    return vad_listener.engine


@pytest.fixture(scope="module", params=["fake", pytest.param("smart_turn", marks=pytest.mark.real)])
def turn_listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    if request.param == "fake":
        spoken = map(spoken_in_tones, ("one two", "three", "four five six"))
        yield Listener(FakeTurnDetector((0.75,)), tuple(map(paused, spoken)))
        return
    from engines.smart_turn import SmartTurn  # noqa: PLC0415 (slow to import)

    recording: Callable[[str], Samples] = request.getfixturevalue("recording")
    model_dir: Callable[[str], Path] = request.getfixturevalue("model_dir")
    engine = SmartTurn(model_dir("smart-turn-v3.2"))
    yield Listener(engine, tuple(paused(recording(name)) for name in (JFK, BRIDGE, "ljspeech/LJ001-0002.flac")))
    engine.close()


def paused(samples: Samples) -> TurnAudio:
    silence = np.zeros(SESSION_RATE_HZ // 5, np.float32)
    return TurnAudio(np.concatenate((samples, silence)), len(silence))


@pytest.fixture(scope="module")
def turn_detector(turn_listener: Listener) -> TurnDetector:
    return turn_listener.engine
