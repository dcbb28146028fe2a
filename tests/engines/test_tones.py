from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.codec.encoder import encode_all
from engines.tones import decode_words, encode_word
from schemas.audio import AudioFormat, Samples

# Neither is typed throughout.
_av: Any = av
_soxr: Any = soxr

words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=12)
sentences = st.lists(words, min_size=1, max_size=5)


def speak(said: list[str], sample_rate_hz: int = 16_000) -> Samples:
    return np.concatenate([encode_word(word, sample_rate_hz) for word in said])


def resampled(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    return _soxr.resample(samples, from_hz, to_hz)


def heard(samples: Samples) -> list[str]:
    return [word.text for word in decode_words(samples)]


@settings(deadline=None)
@given(sentences, st.sampled_from([16_000, 22_050, 24_000, 44_100, 48_000]))
def test_words_survive_resampling(said: list[str], rate_hz: int) -> None:
    assert heard(resampled(speak(said, rate_hz), rate_hz, 16_000)) == said


@settings(deadline=None)
@given(sentences, st.integers(0, 8_000), st.integers(0, 8_000), st.floats(0.05, 3.0))
def test_words_survive_gain_clipping_and_silence_around(
    said: list[str], before_samples: int, after_samples: int, gain: float
) -> None:
    spoken = np.clip(gain * speak(said), -1.0, 1.0).astype(np.float32)
    assert heard(np.pad(spoken, (before_samples, after_samples))) == said


@settings(deadline=None)
@given(sentences)
def test_words_survive_the_telephone(said: list[str]) -> None:
    assert heard(resampled(resampled(speak(said), 16_000, 8_000), 8_000, 16_000)) == said


@settings(deadline=None)
@given(sentences, st.integers(0, 2**32 - 1))
def test_words_survive_noise_at_10_db(said: list[str], seed: int) -> None:
    spoken = speak(said)
    rms = np.sqrt(np.mean(spoken**2))
    noise = np.random.default_rng(seed).normal(0.0, rms * 10 ** (-10 / 20), len(spoken))
    assert heard((spoken + noise).astype(np.float32)) == said


@pytest.mark.parametrize("audio_format", [AudioFormat.MP3, AudioFormat.OPUS, AudioFormat.AAC])
def test_words_survive_lossy_codecs(audio_format: AudioFormat) -> None:
    said = ["The", "quick", "brown", "fox", "jumps", "over", "3.14", "lazy", "dögs", "in", "東京."]
    with _av.open(io.BytesIO(encode_all(speak(said, 24_000), audio_format, 24_000))) as container:
        resampler = _av.AudioResampler("flt", "mono", 16_000)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    assert heard(np.concatenate([frame.to_ndarray().ravel() for frame in frames])) == said


@settings(deadline=None)
@given(st.lists(words, min_size=2, max_size=5), st.integers(1, 1_600))
def test_what_is_cut_off_is_lost_and_the_rest_is_heard(said: list[str], missing_samples: int) -> None:
    spoken = speak(said)
    at_the_end, at_the_start = heard(spoken[:-missing_samples]), heard(spoken[missing_samples:])
    assert " ".join(said).startswith(" ".join(at_the_end))
    assert " ".join(said).endswith(" ".join(at_the_start))
    # A word takes 2 slots and 4 for each of its letters at most, so few are touched by 5 slots.
    assert len(at_the_end) >= len(said) - 2
    assert len(at_the_start) >= len(said) - 2


def test_utterances_with_pauses_between_are_heard_with_their_times() -> None:
    pause = np.zeros(4_321, np.float32)
    samples = np.concatenate([pause, speak(["one"]), pause, speak(["two", "three"])])
    found = decode_words(samples)
    assert [word.text for word in found] == ["one", "two", "three"]
    pause_s, marker_s, byte_s = 4_321 / 16_000, 0.04, 0.04
    assert found[0].start_s == pytest.approx(pause_s + marker_s, abs=0.001)
    assert found[0].end_s == pytest.approx(pause_s + marker_s + 3 * byte_s, abs=0.001)
    assert found[1].start_s == pytest.approx(2 * pause_s + 2 * marker_s + 3 * byte_s, abs=0.001)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(100, np.float32),
        np.zeros(32_000, np.float32),
        np.random.default_rng(1).normal(0.0, 0.2, 32_000).astype(np.float32),
        np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000).astype(np.float32),
        np.sin(2 * np.pi * 3_000 * np.arange(32_000) / 16_000).astype(np.float32),
        np.ones(32_000, np.float32),
    ],
    ids=["nothing", "a click", "silence", "noise", "a tone", "the marker tone", "direct current"],
)
def test_other_sounds_hold_no_words(samples: Samples) -> None:
    assert decode_words(samples) == []


def test_human_speech_holds_no_words(
    recording: Callable[[str], Samples], speech_manifest: list[dict[str, Any]]
) -> None:
    for row in speech_manifest[:8]:
        assert decode_words(recording(row["file"])) == []
