"""What every synthesiser must do, whatever it is."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from engines.base import Cancellation, Tts, TtsJob
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import SpeechChunk, SpokenWord

TEXT = "Hello world, this is the first of them. And  here comes\nthe second sentence!"


def job(tts: Tts, text: str, *, cancellation: Cancellation | None = None, speed: float = 1.0) -> TtsJob:
    return TtsJob(text=text, voice=tts.voices[0].id, cancellation=cancellation or Cancellation(), speed=speed)


def spoken(tts: Tts, text: str, *, speed: float = 1.0) -> list[SpeechChunk]:
    return list(tts.synthesize(job(tts, text, speed=speed)))


def seconds(chunks: list[SpeechChunk]) -> float:
    return sum(len(chunk.samples) / chunk.sample_rate_hz for chunk in chunks)


def check_words(text: str, chunks: list[SpeechChunk]) -> list[SpokenWord]:
    """Whatever is spoken: offsets are right, times run on, each word starts in its chunk and ends in the audio."""
    start_s = 0.0
    for chunk in chunks:
        end_s = start_s + len(chunk.samples) / chunk.sample_rate_hz
        assert all(start_s - 1e-6 <= word.start_s <= end_s + 1e-6 for word in chunk.words)
        start_s = end_s
    words = [word for chunk in chunks for word in chunk.words]
    assert all(text[word.text_start : word.text_end] == word.text for word in words)
    offsets = [offset for word in words for offset in (word.text_start, word.text_end)]
    assert offsets == sorted(offsets)
    times = [time_s for word in words for time_s in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert not times or (times[0] >= 0.0 and times[-1] <= start_s + 1e-6)
    return words


def test_an_utterance_is_audio_of_a_sane_length_at_the_voices_rate(tts: Tts) -> None:
    chunks = spoken(tts, TEXT)
    assert 2.0 < seconds(chunks) < 20.0
    for chunk in chunks:
        assert chunk.sample_rate_hz == tts.voices[0].sample_rate_hz
        assert chunk.samples.dtype == np.float32
        assert chunk.samples.ndim == 1
        assert np.abs(chunk.samples).max() <= 1.0
    assert np.sqrt(np.mean(np.concatenate([chunk.samples for chunk in chunks]) ** 2)) > 0.01


def test_the_first_chunk_does_not_wait_for_the_last(tts: Tts) -> None:
    assert len(spoken(tts, TEXT)) > 1


def test_every_word_of_the_text_has_its_place_in_the_audio(tts: Tts) -> None:
    words = check_words(TEXT, spoken(tts, TEXT))
    assert [(word.text_start, word.text_end) for word in words] == [found.span() for found in re.finditer(r"\S+", TEXT)]
    assert all(word.end_s > word.start_s for word in words)


@pytest.mark.parametrize("text", ["", " ", "\n\t  \r\n"])
def test_nothing_to_say_is_no_audio(tts: Tts, text: str) -> None:
    assert spoken(tts, text) == []


@pytest.mark.parametrize(
    "text",
    [
        "...",
        "?!",
        "—",
        "Wait... what?!  — no.",
        "😀 fine",
        "It costs $3.50 & 5% more, i.e. 1,234.5 in 2024.",
        "See [[Berlin]] and [1] or <b>bold</b>.",
        "a\x00b\x07c",
        "Straße, naïve, 東京 and مرحبا",
        "O'Neill's e-mail: me@example.com",
    ],
)
def test_any_text_can_be_spoken(tts: Tts, text: str) -> None:
    chunks = spoken(tts, text)
    words = check_words(text, chunks)
    if chunks:
        assert "".join(word.text for word in words) == "".join(text.split())


def test_speed_changes_the_length(tts: Tts) -> None:
    slow, normal, fast = (seconds(spoken(tts, TEXT, speed=speed)) for speed in (0.5, 1.0, 2.0))
    assert slow > normal * 1.2
    assert fast < normal * 0.95
    check_words(TEXT, spoken(tts, TEXT, speed=2.0))


def test_a_cancelled_job_says_nothing(tts: Tts) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(SpeechError) as raised:
        next(iter(tts.synthesize(job(tts, TEXT, cancellation=cancellation))))
    assert raised.value.code is ErrorCode.CANCELLED


def test_cancellation_stops_between_chunks(tts: Tts) -> None:
    cancellation = Cancellation()
    chunks = tts.synthesize(job(tts, TEXT, cancellation=cancellation))
    assert len(next(chunks).samples)
    cancellation.cancel()
    with pytest.raises(SpeechError) as raised:
        next(chunks)
    assert raised.value.code is ErrorCode.CANCELLED


def test_syntheses_side_by_side_do_not_mix(tts: Tts) -> None:
    assert tts.lanes.workers > 1
    texts = ["one two three four five. six seven.", "Why is the sky blue? Because it is.", "go"] * 3
    with ThreadPoolExecutor(3) as threads:
        results = list(threads.map(partial(spoken, tts), texts))
    for text, chunks in zip(texts, results, strict=True):
        assert [word.text for word in check_words(text, chunks)] == text.split()
