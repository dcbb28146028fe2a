from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.base import Cancellation, TtsJob
from engines.codec.resampler import resample
from engines.fake import FakeTts
from engines.speech_pipeline import MAX_SENTENCE_CHARS, Say, Script, amplified, speak
from engines.text.ssml import Break
from engines.tones import decode_words
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import LexiconEntry, SpeechChunk, SpeechOptions, SpokenWord

TTS = FakeTts()
VOICE = TTS.voices[0]


def options(**fields: object) -> SpeechOptions:
    return SpeechOptions(**fields)  # pyright: ignore[reportArgumentType] (a test's own fields)


def chunks_of(text: str, how: SpeechOptions | None = None) -> list[SpeechChunk]:
    script = Script(text, VOICE.language, how or SpeechOptions())
    return list(speak(TTS, script, VOICE, Cancellation()))


def words_of(text: str, how: SpeechOptions | None = None) -> list[SpokenWord]:
    return [word for chunk in chunks_of(text, how) for word in chunk.words]


def heard(text: str, how: SpeechOptions | None = None) -> str:
    samples = np.concatenate([chunk.samples for chunk in chunks_of(text, how)])
    return " ".join(word.text for word in decode_words(resample(samples, VOICE.sample_rate_hz, 16_000)))


def test_what_is_heard_is_in_words_and_what_is_reported_is_as_written() -> None:
    text = "It costs $12.50."
    assert heard(text) == "It costs twelve dollars and fifty cents."
    assert [word.text for word in words_of(text)] == ["It", "costs", "$12.50."]


def test_a_written_word_lasts_from_its_first_spoken_word_to_its_last() -> None:
    whole = words_of("twelve dollars and fifty cents.")
    assert [(word.start_s, word.end_s) for word in words_of("$12.50.")] == [(whole[0].start_s, whole[-1].end_s)]


def test_a_written_word_is_reported_with_the_last_of_its_spoken_words() -> None:
    chunks = chunks_of("$2 now")
    assert [[word.text for word in chunk.words] for chunk in chunks] == [[], ["$2"], ["now"]]


def test_times_go_on_over_sentences_and_breaks() -> None:
    source = "<speak>One. Two.<break time='700ms'/>Three.</speak>"
    words = words_of(source, options(ssml=True))
    assert [source[word.text_start : word.text_end] for word in words] == ["One.", "Two.", "Three."]
    chunks = chunks_of(source, options(ssml=True))
    silent_s = sum(len(chunk.samples) for chunk in chunks if not chunk.samples.any()) / VOICE.sample_rate_hz
    assert silent_s == pytest.approx(0.7)
    assert words[2].start_s - words[1].end_s == pytest.approx(0.7 + 0.04, abs=1e-3)


def test_a_lexicon_says_words_otherwise_and_keeps_them_from_other_rules() -> None:
    lexicon = (LexiconEntry(word="10 km", say="ten K"), LexiconEntry(word="tomato", ipa="təˈmɑːtoʊ"))
    assert heard("A 10 km tomato.", options(lexicon=lexicon)) == "A ten K təˈmɑːtoʊ."
    assert [word.text for word in words_of("A 10 km tomato.", options(lexicon=lexicon))] == ["A", "10 km", "tomato."]


def test_ssml_says_words_otherwise() -> None:
    source = (
        '<speak><sub alias="World Wide Web">WWW</sub> <phoneme ph="ə">a</phoneme> '
        '<say-as interpret-as="digits">12</say-as> and 12</speak>'
    )
    assert heard(source, options(ssml=True)) == "World Wide Web ə one two and twelve"
    words = words_of(source, options(ssml=True))
    assert [re.sub("<[^>]*>", "", word.text).strip() for word in words] == ["WWW", "a", "12", "and", "12"]


def test_plain_text_is_never_taken_for_ssml() -> None:
    assert heard("<speak>1 < 2</speak>") == "<speak>one < two</speak>"


def test_text_can_be_left_as_it_is_written() -> None:
    assert heard("**2** km", options(normalize=False)) == "**2** km"


@pytest.mark.parametrize(("rate", "speed", "expected"), [("slow", 2.0, 1.5), ("400%", 4.0, 4.0), ("25%", 0.5, 0.25)])
def test_the_rate_of_a_passage_goes_with_the_speed_of_all(rate: str, speed: float, expected: float) -> None:
    speeds: list[float] = []

    class Listening(FakeTts):
        def synthesize(self, job: TtsJob) -> Iterator[SpeechChunk]:
            speeds.append(job.speed)
            return super().synthesize(job)

    script = Script(f'<speak><prosody rate="{rate}">a</prosody></speak>', "en-US", options(ssml=True, speed=speed))
    assert list(speak(Listening(), script, VOICE, Cancellation()))
    assert speeds == [expected]


@given(st.floats(-20, 20), st.integers(0, 2**32 - 1))
def test_louder_speech_stays_within_full_scale(gain_db: float, seed: int) -> None:
    samples = np.random.default_rng(seed).uniform(-1, 1, 500).astype(np.float32)
    louder = amplified(samples, gain_db)
    assert louder.dtype == np.float32
    assert np.abs(louder).max() <= 1.0
    assert (np.sign(louder) == np.sign(samples)).all()
    order = np.argsort(samples)
    assert (np.diff(louder[order]) >= 0).all()
    quiet = np.abs(samples) * 10 ** (gain_db / 20) <= 0.8
    np.testing.assert_allclose(louder[quiet], samples[quiet] * 10 ** (gain_db / 20), rtol=1e-5)


def test_no_gain_leaves_the_samples_alone() -> None:
    samples = np.linspace(-1, 1, 9, dtype=np.float32)
    assert amplified(samples, 0.0) is samples


def test_gain_reaches_the_audio() -> None:
    quiet, loud = (np.concatenate([c.samples for c in chunks_of("Hi.", options(gain_db=db))]) for db in (0.0, -6.0))
    np.testing.assert_allclose(loud, quiet * 10 ** (-6 / 20), rtol=1e-5)


def test_a_long_text_is_read_sentence_by_sentence() -> None:
    text = "It costs $3 now. " * 500
    parts = Script(text, "en-US", SpeechOptions()).parts()
    first = next(parts)
    assert isinstance(first, Say)
    assert first.text.text.strip() == "It costs three dollars now."
    assert sum(1 for _ in parts) == 499


def test_no_sentence_is_longer_than_the_bound() -> None:
    text = "word " * 1_000
    for how, source in ((SpeechOptions(), text), (options(ssml=True), f"<speak>{text}</speak>")):
        sayings = [part for part in Script(source, "en-US", how).parts() if isinstance(part, Say)]
        assert max(len(part.text.text) for part in sayings) <= MAX_SENTENCE_CHARS
        assert "".join(part.text.text for part in sayings) == text


def test_lines_may_be_wrapped() -> None:
    (part,) = Script("one\ntwo  three\n", "en-US", SpeechOptions()).parts()
    assert isinstance(part, Say)
    assert part.text.text == "one\ntwo  three\n"


@pytest.mark.parametrize("text", ["", " \n", "---", "```python\n```", "😀", "![](a.png)"])
def test_nothing_to_say_is_no_audio(text: str) -> None:
    assert chunks_of(text) == []


def test_ssml_without_words_is_its_breaks() -> None:
    parts = list(Script("<speak>... <break/></speak>", "en-US", options(ssml=True)).parts())
    assert parts == [Break(500)]


@pytest.mark.parametrize(
    ("source", "language", "why"),
    [
        ('<speak><say-as interpret-as="date">soon</say-as></speak>', "en-US", "'soon' cannot be said as date"),
        ('<speak><say-as interpret-as="digits">1</say-as></speak>', "nl-NL", "not supported for the language nl-NL"),
    ],
)
def test_what_cannot_be_said_so_is_refused(source: str, language: str, why: str) -> None:
    with pytest.raises(SpeechError, match=why) as raised:
        Script(source, language, options(ssml=True))
    assert raised.value.code is ErrorCode.INVALID_REQUEST


def test_a_cancelled_script_stops() -> None:
    cancellation = Cancellation()
    chunks = speak(TTS, Script("One. Two.", "en-US", SpeechOptions()), VOICE, cancellation)
    next(chunks)
    cancellation.cancel()
    with pytest.raises(SpeechError) as raised:
        list(chunks)
    assert raised.value.code is ErrorCode.CANCELLED


@given(st.text(st.sampled_from("ab 1.$*_`#-|\n😀%k,m你，"), max_size=80))
def test_reported_words_are_the_texts_own_in_order(text: str) -> None:
    words = words_of(text)
    assert all(text[word.text_start : word.text_end] == word.text and word.text for word in words)
    offsets = [offset for word in words for offset in (word.text_start, word.text_end)]
    assert offsets == sorted(offsets)
    times = [time_s for word in words for time_s in (word.start_s, word.end_s)]
    assert times == sorted(times)
