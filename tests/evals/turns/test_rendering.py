from pathlib import Path

import numpy as np
import pytest

from evals.cache import Cache
from evals.turns.dialogue import UserLine, parse
from evals.turns.instruments import Speech
from evals.turns.rendering import Renderer, draw_hold_s, sounding, with_holds
from schemas.audio import SESSION_RATE_HZ, Samples
from schemas.speech import SpokenWord

WORD_S = 0.3
GAP_S = 0.05


def tone(seconds: float) -> Samples:
    return (0.3 * np.sin(np.arange(round(seconds * SESSION_RATE_HZ)) * 0.2)).astype(np.float32)


def hush(seconds: float) -> Samples:
    return np.zeros(round(seconds * SESSION_RATE_HZ), np.float32)


def said(text: str) -> Speech:
    """A tone a word, with a short gap between."""
    words: list[SpokenWord] = []
    parts: list[Samples] = []
    place = 0
    for number, word in enumerate(text.split()):
        start_s = number * (WORD_S + GAP_S)
        words.append(SpokenWord(word, place, place + len(word), start_s, start_s + WORD_S))
        parts += [tone(WORD_S), hush(GAP_S)]
        place += len(word) + 1
    return Speech(np.concatenate(parts[:-1]), tuple(words))


def line(text: str) -> UserLine:
    (found,) = parse(text)
    assert isinstance(found, UserLine)
    return found


class FakeVoices:
    version = "1"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def speak(self, text: str, voice: str) -> Speech:
        self.asked.append((text, voice))
        speech = said(text)
        padded = np.concatenate((hush(0.2), speech.samples, hush(0.3)))
        words = tuple(
            SpokenWord(word.text, word.text_start, word.text_end, word.start_s + 0.2, word.end_s + 0.2)
            for word in speech.words
        )
        return Speech(padded, words)


def test_a_hold_is_a_silence_of_its_length_between_the_words() -> None:
    spoken = with_holds(line("U: one two /0.8/ three"), said("one two three"), {}, np.random.default_rng(0))
    (hold,) = spoken.holds
    assert hold.duration_s == pytest.approx(0.8)
    assert not np.any(spoken.samples[hold.start_samples : hold.end_samples])
    assert abs(hold.start_samples / SESSION_RATE_HZ - (2 * WORD_S + GAP_S)) < 0.02
    assert spoken.words[2].start_s == pytest.approx(hold.end_samples / SESSION_RATE_HZ, abs=0.02)
    assert [word.text for word in spoken.words] == ["one", "two", "three"]


def test_speech_before_and_after_a_hold_is_all_of_the_sentence() -> None:
    speech = said("one two three")
    spoken = with_holds(line("U: one /0.5/ two / three"), speech, {}, np.random.default_rng(0))
    silence = sum(hold.end_samples - hold.start_samples for hold in spoken.holds)
    sounded = len(spoken.samples) - silence
    assert sounded == pytest.approx(3 * WORD_S * SESSION_RATE_HZ, rel=0.05)


def test_a_filler_is_said_before_the_silence() -> None:
    plain = with_holds(line("U: one /0.5/ two"), said("one two"), {}, np.random.default_rng(0))
    filled = with_holds(line("U: one /um 0.5/ two"), said("one two"), {"um": tone(0.4)}, np.random.default_rng(0))
    assert len(filled.samples) - len(plain.samples) == pytest.approx(0.55 * SESSION_RATE_HZ, abs=1)
    assert filled.holds[0].start_samples > plain.holds[0].start_samples


def test_lengths_of_holds_are_those_of_conversations() -> None:
    rng = np.random.default_rng(1)
    lengths = np.array([draw_hold_s(rng) for _ in range(20_000)])
    assert lengths.min() >= 0.2
    for limit_s, share in ((0.3, 0.556), (0.6, 0.217), (1.0, 0.10), (1.6, 0.05)):
        assert float((lengths > limit_s).mean()) == pytest.approx(share, abs=0.01)


def test_the_same_seed_gives_the_same_sound() -> None:
    one, other, third = (
        with_holds(line("U: one / two / three"), said("one two three"), {}, np.random.default_rng(seed))
        for seed in (3, 3, 4)
    )
    assert np.array_equal(one.samples, other.samples)
    assert len(one.samples) != len(third.samples)


def test_padding_is_trimmed() -> None:
    start, end = sounding(np.concatenate((hush(0.5), tone(1.0), hush(0.7))))
    assert start == pytest.approx(0.5 * SESSION_RATE_HZ, abs=160)
    assert end == pytest.approx(1.5 * SESSION_RATE_HZ, abs=160)
    assert sounding(hush(0.2)) == (0, len(hush(0.2)))


@pytest.mark.anyio
async def test_what_was_said_once_is_kept(tmp_path: Path) -> None:
    voices = FakeVoices()
    for _ in range(2):
        renderer = Renderer(voices, Cache(tmp_path))
        spoken = await renderer.render(line("U: one /0.4/ two"), "alto", np.random.default_rng(0))
        assert spoken.holds[0].duration_s == pytest.approx(0.4)
        assert spoken.words[0].start_s == pytest.approx(0.0, abs=0.02)
    assert voices.asked == [("one two", "alto")]
    await Renderer(voices, Cache(tmp_path)).speak("one two", "bass")
    assert voices.asked[-1] == ("one two", "bass")
