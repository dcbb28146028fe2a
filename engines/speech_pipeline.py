"""From a text as it was written to speech, and from the words of the speech back to the text.

A text becomes a :class:`Script`: sentences in plain words, and breaks. It is read sentence by sentence, while the
voice speaks: the first sound of a long text comes no later than that of a short one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from engines.base import Cancellation, Pronunciation, Tts, TtsJob
from engines.text import markup, ssml
from engines.text.chunker import TextChunk, TextChunker
from engines.text.lexicon import lexicon
from engines.text.mapped import Edit, MappedText, places, without_overlaps
from engines.text.normalizer import Normalizer, normalizer
from engines.text.ssml import Break, Passage
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import MAX_SPEED, MIN_SPEED, SpeechChunk, SpeechOptions, SpokenWord, Voice, is_speakable

MAX_SENTENCE_CHARS: Final = 400
"""Longer sentences are cut at a clause: what the engines take at once, with room for numbers in words."""
_READ_CHARS: Final = 2 * MAX_SENTENCE_CHARS
"""How far ahead a text is looked at."""
_SILENCE_S: Final = 0.5
"""One piece of a break."""
_KNEE: Final = 0.8
"""Amplified samples above are rounded off, so that none is beyond full scale: 2 dB below it."""


class Say(Struct, frozen=True):
    """A sentence, or part of one."""

    text: MappedText
    pronunciations: tuple[Pronunciation, ...]
    rate: float


class Script:
    """What is to be spoken of a text, and how.

    Args:
        text: Plain text, or SSML if the options say so.
        language: BCP 47, of the voice.
        options: How to speak.

    Raises:
        SpeechError: ``invalid_request`` for SSML or a lexicon that is not supported.
    """

    def __init__(self, text: str, language: str, options: SpeechOptions) -> None:
        self.source = text
        self.options = options
        self._lexicon = lexicon(options.lexicon)
        self._normalizer = normalizer(language)
        self._document: tuple[Passage | Break, ...] = ()
        self._say_as: dict[int, list[Edit]] = {}
        if options.ssml:
            self._document = tuple(ssml.parse(text))
            for number, passage in enumerate(self._document):
                if isinstance(passage, Passage):
                    self._say_as[number] = _said_as(passage, self._normalizer, language)

    def parts(self) -> Iterator[Say | Break]:
        """Sentences and breaks, in order."""
        if self.options.ssml:
            yield from self._passages()
            return
        for offset, block in markup.blocks(self.source):
            for chunk in _cut(block):
                written = block[chunk.start : chunk.start + len(chunk.text)]
                text = MappedText.of(written, offset + chunk.start)
                if self.options.normalize:
                    text = text.rewrite(markup.edits(written))
                if (sentence := self._spoken(text, [], rate=1.0)) is not None:
                    yield sentence

    def _passages(self) -> Iterator[Say | Break]:
        for number, part in enumerate(self._document):
            if isinstance(part, Break):
                yield part
                continue
            whole = self._spoken(part.text, [*part.edits, *self._say_as[number]], rate=part.rate)
            if whole is not None:
                yield from _sentences(whole)

    def _spoken(self, text: MappedText, fixed: Sequence[Edit], *, rate: float) -> Say | None:
        """A text in plain words; ``None`` if it has no sound."""
        edits = without_overlaps(fixed, self._lexicon.edits(text.text))
        if self.options.normalize and self._normalizer is not None:
            edits = without_overlaps(edits, self._normalizer.edits(text.text))
        edits = sorted(edits, key=lambda edit: edit.start)
        spoken = text.rewrite(edits)
        if not is_speakable(spoken.text):
            return None
        pronunciations = tuple(
            Pronunciation(start, end, edit.ipa)
            for edit, (start, end) in zip(edits, places(edits), strict=True)
            if edit.ipa is not None
        )
        return Say(spoken, pronunciations, rate)


def speak(tts: Tts, script: Script, voice: Voice, cancellation: Cancellation) -> Iterator[SpeechChunk]:
    """The speech of a script. Offsets of its words are those of the source, its times count from the start of all.

    Blocks while the voice speaks; stops between chunks when cancelled.

    Raises:
        SpeechError: As :meth:`engines.base.Tts.synthesize`.
    """
    spoken_samples = 0
    rate_hz = voice.sample_rate_hz
    for part in script.parts():
        cancellation.check()
        if isinstance(part, Break):
            for samples in _silence(part.duration_ms, rate_hz):
                spoken_samples += len(samples)
                yield SpeechChunk(samples, rate_hz)
            continue
        job = TtsJob(
            text=part.text.text,
            voice=voice.id,
            cancellation=cancellation,
            speed=min(max(script.options.speed * part.rate, MIN_SPEED), MAX_SPEED),
            pronunciations=part.pronunciations,
        )
        words = _SourceWords(script.source, part.text, spoken_samples / rate_hz)
        for chunk in tts.synthesize(job):
            spoken_samples += len(chunk.samples)
            yield SpeechChunk(
                amplified(chunk.samples, script.options.gain_db), chunk.sample_rate_hz, words.of(chunk.words)
            )


def amplified(samples: Samples, gain_db: float) -> Samples:
    """Samples louder by so many decibels, and still within full scale: what goes beyond the knee is rounded off."""
    if gain_db == 0:
        return samples
    louder = samples * np.float32(10 ** (gain_db / 20))
    if gain_db < 0:
        return louder
    level = np.abs(louder)
    rounded = _KNEE + (1 - _KNEE) * np.tanh((level - _KNEE) / (1 - _KNEE))
    return np.where(level > _KNEE, np.copysign(rounded, louder), louder).astype(np.float32)


def _cut(block: str) -> Iterator[TextChunk]:
    """The sentences of a block, each as soon as it is asked for. A line break is a space: lines may be wrapped."""
    chunker = TextChunker(MAX_SENTENCE_CHARS)
    text = block.replace("\n", " ")
    for start in range(0, len(text), _READ_CHARS):
        yield from chunker.push(text[start : start + _READ_CHARS])
    yield from chunker.finish()


def _sentences(whole: Say) -> Iterator[Say]:
    for chunk in _cut(whole.text.text):
        end = chunk.start + len(chunk.text)
        inside = [each for each in whole.pronunciations if chunk.start <= each.start and each.end <= end]
        moved = (Pronunciation(each.start - chunk.start, each.end - chunk.start, each.ipa) for each in inside)
        yield Say(whole.text.cut(chunk.start, end), tuple(moved), whole.rate)


class _SourceWords:
    """Turns the words that an engine has spoken into those of the source.

    Several may be spoken for one that is written, as for $12.50. It is reported with the last of them: before, the
    listener has not heard it. A word of a script without spaces holds several groups, one a character.
    """

    def __init__(self, source: str, text: MappedText, offset_s: float) -> None:
        self._source = source
        self._groups = text.groups()
        self._next = 0
        self._offset_s = offset_s
        self._begun: tuple[int, float] | None = None
        """Where in the source, and when, the word began that is not complete."""

    def of(self, words: Sequence[SpokenWord]) -> tuple[SpokenWord, ...]:
        """The words of the source that are complete with these."""
        complete: list[SpokenWord] = []
        for word in words:
            while self._next + 1 < len(self._groups) and self._groups[self._next + 1].start <= word.text_start:
                self._next += 1
                self._begun = None
            if self._begun is None:
                self._begun = self._groups[self._next].source_start, word.start_s
            while self._next + 1 < len(self._groups) and self._groups[self._next + 1].start < word.text_end:
                self._next += 1
            group = self._groups[self._next]
            if word.text_end > group.last_start:
                source_start, start_s = self._begun
                complete.append(
                    SpokenWord(
                        self._source[source_start : group.source_end],
                        source_start,
                        group.source_end,
                        self._offset_s + start_s,
                        self._offset_s + word.end_s,
                    )
                )
        return tuple(complete)


def _said_as(passage: Passage, rules: Normalizer | None, language: str) -> list[Edit]:
    edits: list[Edit] = []
    for each in passage.say_as:
        written = passage.text.text[each.start : each.end]
        if rules is None:
            raise SpeechError(
                ErrorCode.INVALID_REQUEST, f"<say-as> is not supported for the language {language}.", param="text"
            )
        said = rules.say_as(each.kind, written, each.form)
        if said is None:
            raise SpeechError(
                ErrorCode.INVALID_REQUEST,
                f"{written[:32]!r} cannot be said as {each.kind} in the language {language}.",
                param="text",
            )
        edits.append(Edit(each.start, each.end, said))
    return edits


def _silence(duration_ms: int, rate_hz: int) -> Iterator[Samples]:
    left = duration_ms * rate_hz // 1000
    while left > 0:
        samples = min(left, int(_SILENCE_S * rate_hz))
        yield np.zeros(samples, np.float32)
        left -= samples
