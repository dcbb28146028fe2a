"""Engines without weights: deterministic, quick, and able to fail on demand.

They speak and understand the code of :mod:`engines.tones`, so that what :class:`FakeTts` says, :class:`FakeAsr`
transcribes, word for word. They ship: an integrator can test against a server that needs no models.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.base import AsrJob, AsrOptions, Cancellation, Lanes, Pronunciation, TtsJob, TurnAudio, VadState
from engines.spec import EngineSpec
from engines.tones import MARKER_SLOTS, SLOT_S, HeardWord, decode_words, encode_word, word_slots
from schemas.audio import SESSION_RATE_HZ, Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind
from schemas.speech import SpeechChunk, SpokenWord, Voice
from schemas.transcripts import LanguageGuess, Segment, TokenLogprob, Transcript, Word

FAKE_VOICES: Final = (
    Voice("fake-alto", "fake-tts", "en-US", 22_050, name="Alto", gender="female"),
    Voice("fake-bass", "fake-tts", "en-GB", 22_050, name="Bass", gender="male"),
)
FAKE_LANGUAGES: Final = ("en", "de", "fr", "ja")
_VOICED_RMS: Final = 0.02
"""At this level the fake VAD is undecided: below quiet speech, above the noise of a room."""
_SENTENCE_END: Final = (".", "?", "!")
_HANG_STEP_S: Final = 0.005
"""How often a hanging fake looks whether it was cancelled."""


class FakeBehaviour:
    """How fake engines spend time and fail; may be changed while they run.

    Args:
        engine_ms_per_audio_s: Time one second of audio takes, spent second by second.
        sleep: Spends it; takes seconds.
    """

    def __init__(self, *, engine_ms_per_audio_s: float = 0.0, sleep: Callable[[float], None] = time.sleep) -> None:
        self.engine_ms_per_audio_s = engine_ms_per_audio_s
        self.failure: Exception | None = None
        """While set, every call raises it: the engine has crashed."""
        self.called = threading.Event()
        """Set by every call."""
        self.cancelled_s: list[float] = []
        """When calls noticed that they were cancelled, by ``time.monotonic()``."""
        self.cancelled = threading.Event()
        """Set when one did."""
        self._sleep = sleep
        self._may_go_on = threading.Event()
        self._may_go_on.set()

    def hang(self) -> None:
        """Let every call from now on stand still, until it is cancelled or :meth:`go_on` is called."""
        self._may_go_on.clear()

    def go_on(self) -> None:
        """End what :meth:`hang` began."""
        self._may_go_on.set()

    def spend(self, audio_s: float, cancellation: Cancellation | None = None) -> None:
        """Behave, for so much audio.

        Raises:
            SpeechError: ``cancelled``.
            Exception: The failure asked for.
        """
        self.called.set()
        if self.failure is not None:
            raise self.failure
        try:
            self._spend(audio_s, cancellation)
        except SpeechError:
            self.cancelled_s.append(time.monotonic())
            self.cancelled.set()
            raise

    def _spend(self, audio_s: float, cancellation: Cancellation | None) -> None:
        remaining_s = audio_s
        while remaining_s > 0.0 and self.engine_ms_per_audio_s > 0.0:
            _check(cancellation)
            self._sleep(min(remaining_s, 1.0) * self.engine_ms_per_audio_s / 1_000)
            remaining_s -= 1.0
        while not self._may_go_on.wait(_HANG_STEP_S):
            _check(cancellation)
        _check(cancellation)


class FakeAsr:
    """Recognises the speech of :class:`FakeTts`; hears nothing in anything else.

    Args:
        languages: What it claims to know. The first is what it detects.
        behaviour: Time and failures.
    """

    lanes = Lanes(workers=2, max_batch=8)

    def __init__(self, languages: Sequence[str] = FAKE_LANGUAGES, behaviour: FakeBehaviour | None = None) -> None:
        self.languages = frozenset(languages)
        self._ranked = tuple(languages)
        self._behaviour = behaviour or FakeBehaviour()

    def transcribe(self, jobs: Sequence[AsrJob]) -> list[Transcript | SpeechError]:
        """One segment a sentence; word times are exact."""
        return [self._transcribe(job) for job in jobs]

    def bucket(self, job: AsrJob) -> Hashable | None:
        """The task: all else may differ."""
        return job.options.task

    def detect_language(self, samples: Sequence[Samples]) -> list[list[LanguageGuess]]:
        """The same for all audio: each language half as probable as the one before it."""
        self._behaviour.spend(sum(map(len, samples)) / SESSION_RATE_HZ)
        weights = [0.5**rank for rank in range(len(self._ranked))]
        guesses = [
            LanguageGuess(code, weight / sum(weights)) for code, weight in zip(self._ranked, weights, strict=True)
        ]
        return [list(guesses) for _ in samples]

    def close(self) -> None:
        """Nothing to free."""

    def _transcribe(self, job: AsrJob) -> Transcript | SpeechError:
        language = job.options.language or self._ranked[0]
        if language not in self.languages:
            return SpeechError(
                ErrorCode.UNSUPPORTED_LANGUAGE, f"This model does not know {language!r}.", param="language"
            )
        duration_s = len(job.samples) / SESSION_RATE_HZ
        segments: list[Segment] = []
        try:
            self._behaviour.spend(duration_s, job.cancellation)
            for sentence in _sentences(decode_words(job.samples)):
                job.cancellation.check()
                segments.append(_segment(len(segments), sentence, job.options))
                if job.on_segment is not None:
                    job.on_segment(segments[-1])
        except SpeechError as error:
            return error
        text = " ".join(segment.text for segment in segments)
        return Transcript(text, language, 1.0, duration_s, tuple(segments))


class FakeTts:
    """Speaks each word as a row of tones, one chunk a word.

    Speed lengthens or shortens the marker between words, as far as it goes: the tones themselves keep their length.

    Args:
        voices: What it offers; they differ only in name and sample rate.
        behaviour: Time and failures.
    """

    lanes = Lanes(workers=2)

    def __init__(self, voices: tuple[Voice, ...] = FAKE_VOICES, behaviour: FakeBehaviour | None = None) -> None:
        self.voices = voices
        self._behaviour = behaviour or FakeBehaviour()

    def synthesize(self, job: TtsJob) -> Iterator[SpeechChunk]:
        """One chunk a word; white space is not heard. A word with a pronunciation sounds as its IPA is spelled."""
        rate_hz = next(voice.sample_rate_hz for voice in self.voices if voice.id == job.voice)
        start_slots = 0
        for match in re.finditer(r"\S+", job.text):
            said = _pronounced(match, job.pronunciations)
            slots = word_slots(said)
            marker_slots = max(1, round((MARKER_SLOTS + slots) / job.speed) - slots)
            self._behaviour.spend((marker_slots + slots) * SLOT_S, job.cancellation)
            start_s = round((start_slots + marker_slots) * SLOT_S, 3)
            end_s = round(start_s + slots * SLOT_S, 3)
            word = SpokenWord(match[0], match.start(), match.end(), start_s, end_s)
            yield SpeechChunk(encode_word(said, rate_hz, marker_slots=marker_slots), rate_hz, (word,))
            start_slots += marker_slots + slots

    def close(self) -> None:
        """Nothing to free."""


class FakeVad:
    """Takes what is loud for speech. The state counts the frames a stream has had."""

    lanes = Lanes(max_batch=64)

    def __init__(self, behaviour: FakeBehaviour | None = None) -> None:
        self._behaviour = behaviour or FakeBehaviour()

    def initial_state(self) -> VadState:
        """``float32, (1,)``: no frames yet."""
        return np.zeros(1, np.float32)

    def score(
        self, frames: NDArray[np.float32], states: Sequence[VadState]
    ) -> tuple[NDArray[np.float32], list[VadState]]:
        """0 for silence, 0.5 at -34 dBFS, towards 1 for louder sound."""
        self._behaviour.spend(frames.size / SESSION_RATE_HZ)
        level = np.sqrt(np.mean(frames.astype(np.float32) ** 2, axis=2))
        probabilities = (level / (level + _VOICED_RMS)).astype(np.float32)
        return probabilities, [state + np.float32(frames.shape[1]) for state in states]

    def close(self) -> None:
        """Nothing to free."""


class FakeTurnDetector:
    """Gives the scores it was told to, one after the other, and then the last again and again.

    Args:
        scores: At least one, 0…1. By default every turn sounds complete.
        behaviour: Time and failures.
    """

    lanes = Lanes(max_batch=8)

    def __init__(self, scores: Sequence[float] = (1.0,), behaviour: FakeBehaviour | None = None) -> None:
        self._scores = list(scores)
        self._behaviour = behaviour or FakeBehaviour()

    def score(self, clips: Sequence[TurnAudio]) -> list[float]:
        """The next score of the script for each clip."""
        self._behaviour.spend(sum(len(clip.samples) for clip in clips) / SESSION_RATE_HZ)
        return [self._scores.pop(0) if len(self._scores) > 1 else self._scores[0] for _ in clips]

    def close(self) -> None:
        """Nothing to free."""


def fake_engines(
    behaviour: FakeBehaviour | None = None, *, turn_scores: Sequence[float] = (1.0,)
) -> dict[str, EngineSpec]:
    """One fake of each kind, in place of :func:`engines.installed.installed_engines`.

    Args:
        behaviour: Shared by all four.
        turn_scores: The script of the turn detector.
    """
    shared = behaviour or FakeBehaviour()
    spec = partial(EngineSpec, engine="fake", licence="Apache-2.0", default=True)
    return {
        "fake-asr": spec(
            kind=ModelKind.ASR,
            title="Understands the fake voice",
            languages=FAKE_LANGUAGES,
            load=lambda: FakeAsr(behaviour=shared),
        ),
        "fake-tts": spec(
            kind=ModelKind.TTS,
            title="Speaks in tones",
            languages=tuple(voice.language for voice in FAKE_VOICES),
            sample_rate_hz=FAKE_VOICES[0].sample_rate_hz,
            voices=FAKE_VOICES,
            load=lambda: FakeTts(behaviour=shared),
        ),
        "fake-vad": spec(kind=ModelKind.VAD, title="Loud is speech", load=lambda: FakeVad(shared)),
        "fake-turn": spec(
            kind=ModelKind.TURN_DETECTOR,
            title="Follows a script",
            load=lambda: FakeTurnDetector(turn_scores, shared),
        ),
    }


def _check(cancellation: Cancellation | None) -> None:
    if cancellation is not None:
        cancellation.check()


def _pronounced(word: re.Match[str], pronunciations: Sequence[Pronunciation]) -> str:
    """A word as it is said. The first word of a phrase has all of its pronunciation, the others are as written."""
    for each in pronunciations:
        if word.start() <= each.start < word.end():
            start, end = each.start - word.start(), min(each.end, word.end()) - word.start()
            return f"{word[0][:start]}{each.ipa.replace(' ', '')}{word[0][end:]}"
    return word[0]


def _sentences(words: Sequence[HeardWord]) -> Iterator[list[HeardWord]]:
    sentence: list[HeardWord] = []
    for word in words:
        sentence.append(word)
        if word.text.endswith(_SENTENCE_END):
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _segment(number: int, heard: Sequence[HeardWord], options: AsrOptions) -> Segment:
    words = tuple(Word(word.text, word.start_s, word.end_s, 1.0) for word in heard)
    return Segment(
        id=number,
        text=" ".join(word.text for word in heard),
        start_s=heard[0].start_s,
        end_s=heard[-1].end_s,
        avg_logprob=0.0,
        compression_ratio=1.0,
        no_speech_prob=0.0,
        tokens=tuple(range(len(heard))),
        words=words if options.word_times else (),
        logprobs=_tokens(heard) if options.token_logprobs else (),
    )


def _tokens(heard: Sequence[HeardWord]) -> tuple[TokenLogprob, ...]:
    """A word is a token, with the space before it, and beyond doubt."""
    return tuple(TokenLogprob(f"{' ' if number else ''}{word.text}".encode(), 0.0) for number, word in enumerate(heard))
