"""What the real voice says of numbers, dates and money, the real recogniser hears."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engines.base import Asr, AsrJob, AsrOptions, Cancellation, Tts
from engines.codec.resampler import resample
from engines.speech_pipeline import Script, speak
from schemas.audio import SESSION_RATE_HZ
from schemas.speech import LexiconEntry, SpeechOptions
from schemas.transcripts import Transcript

pytestmark = pytest.mark.real

ATTEMPTS = 3
CASES = [
    ("It costs $12.50 today.", "cost", "12.50|12 dollars|twelve"),
    ("The trip was 120 km long.", "trip", "120|hundred and twenty|hundred twenty"),
    ("We meet on Nov 24.", "november", "24"),
    ("The war ended in 1945.", "war", "1945|forty.?five"),
    ("The train leaves at 14:30 sharp.", "train", "14.?30|fourteen thirty"),
    ("About 25% of them came.", "them", "25|twenty.?five"),
    ("She finished 3rd in the race.", "race", "third|3rd"),
    ("Water boils at 100 °C.", "boils", "100|hundred"),
    ("The speed limit is 80 km/h.", "limit", "80|eighty"),
    ("Dr. Smith has 42 patients.", "doctor|dr", "42|forty.?two"),
    ("They raised $3m last year.", "raised", "3 million|three million|3,000,000"),
    ("Read pages 10–12 **today**, please.", "please", "10 to 12|ten to twelve|10-12"),
    ("Write to info@example.com now.", "example", "dot com|example.com"),
]


@pytest.fixture(scope="module")
def voice(model_dir: Callable[[str], Path]) -> Iterator[Tts]:
    from engines.piper import PiperTts  # noqa: PLC0415 (an extra)

    engine = PiperTts(model_dir("piper-en_US-joe-medium"))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def ear(model_dir: Callable[[str], Path]) -> Iterator[Asr]:
    from engines.whisper import WhisperAsr  # noqa: PLC0415 (slow to import)

    engine = WhisperAsr(model_dir("whisper-base"), device="cpu", compute_type="int8")
    yield engine
    engine.close()


def heard(voice: Tts, ear: Asr, text: str, options: SpeechOptions) -> str:
    speaker = voice.voices[0]
    script = Script(text, speaker.language, options)
    samples = np.concatenate([chunk.samples for chunk in speak(voice, script, speaker, Cancellation())])
    samples = resample(samples, speaker.sample_rate_hz, SESSION_RATE_HZ)
    job = AsrJob(samples=samples, options=AsrOptions(language="en", trimmed=True), cancellation=Cancellation())
    (transcript,) = ear.transcribe([job])
    assert isinstance(transcript, Transcript)
    return transcript.text.lower()


@pytest.mark.parametrize(("text", "word", "number"), CASES)
def test_what_is_spoken_is_understood(voice: Tts, ear: Asr, text: str, word: str, number: str) -> None:
    # The voice is a little different each time, and now and then a word is heard as another.
    understood = [heard(voice, ear, text, SpeechOptions())]
    while len(understood) < ATTEMPTS and not (re.search(word, understood[-1]) and re.search(number, understood[-1])):
        understood.append(heard(voice, ear, text, SpeechOptions()))
    assert re.search(word, understood[-1]), understood
    assert re.search(number, understood[-1]), understood


def test_a_pronunciation_is_heard(voice: Tts, ear: Asr) -> None:
    lexicon = (LexiconEntry(word="Xqz", ipa="bəˈnænəz"), LexiconEntry(word="Zzyx", say="the mountains"))
    understood = heard(voice, ear, "They sell Xqz near Zzyx.", SpeechOptions(lexicon=lexicon))
    assert re.search("bananas near the mountains", understood), understood


def test_ssml_is_heard(voice: Tts, ear: Asr) -> None:
    ssml = (
        '<speak>The code is <say-as interpret-as="digits">4711</say-as>.<break time="300ms"/>'
        '<prosody rate="90%">It opens on the <say-as interpret-as="ordinal">21</say-as>.</prosody></speak>'
    )
    understood = heard(voice, ear, ssml, SpeechOptions(ssml=True))
    assert re.search("4.?7.?1.?1|four,? seven,? one,? one", understood), understood
    assert re.search("21st|twenty.?first", understood), understood
