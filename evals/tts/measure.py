"""Texts spoken by a target, and understood by a recogniser that is the same for every target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
import soxr
from msgspec import Struct

from evals.asr.recognition import Recording, recognise
from evals.corpora.utterance import Utterance
from evals.decoding import wav
from evals.runner import Failure, Runner
from evals.targets.base import Heard, Synthesizer, Transcriber
from evals.tts.listening import clipped_runs, gaps_s
from evals.tts.texts import Sentence
from schemas.audio import SESSION_RATE_HZ, Samples, float_from_pcm16, pcm16_from_float

READ: Final = "read"
"""The kind of texts that people have read, too."""
_WARM_UP: Final = {"de": "Guten Tag.", "es": "Buenos días.", "fr": "Bonjour.", "pt": "Bom dia."}
_WARM_UP_ELSE: Final = "Good morning."


class Task(Struct, frozen=True, kw_only=True, eq=False):
    """A text for a voice."""

    id: str
    text: str
    language: str
    voice: str
    kind: str
    """:data:`READ`, or what is difficult in it: :data:`evals.tts.texts.KINDS`."""
    shows: tuple[str, ...] = ()
    """Any of these within what was understood shows that it was read well."""
    recording: Utterance | None = None
    """The same text, read by a person."""


class Rendition(Struct, frozen=True, kw_only=True):
    """How it was spoken."""

    pcm16: bytes
    """16 kHz."""
    audio_s: float
    first_s: float
    """From the request to the first sample."""
    took_s: float
    """To the last."""
    gaps_s: tuple[float, ...]
    """Silences of a listener who plays what there is."""
    clipped: int
    """Places where the wave is cut off."""

    @property
    def samples(self) -> Samples:
        """``float32, (n,)``, 16 kHz."""
        return float_from_pcm16(self.pcm16)


class Reading(Struct, frozen=True, kw_only=True, eq=False):
    """A text, spoken and understood."""

    task: Task
    spoken: Rendition | Failure
    heard: Heard | Failure | None
    """``None`` if there was nothing to hear."""
    floor: Heard | Failure | None
    """What was understood of the person; ``None`` if there is none."""


def tasks(
    voices: dict[str, str],
    utterances: Sequence[Utterance],
    sentences: Callable[[str], Sequence[Sentence]],
    sentences_each: int | None,
) -> list[Task]:
    """What is to be spoken.

    Args:
        voices: By language.
        utterances: Texts that people have read.
        sentences: Those with something difficult, of a language.
        sentences_each: How many of a language at most.
    """
    found: list[Task] = []
    for language, voice in voices.items():
        found += [
            Task(id=one.id, text=one.text or "", language=language, voice=voice, kind=READ, recording=one)
            for one in utterances
            if one.language == language
        ]
        found += [
            Task(
                id=f"{language}.{one.kind}.{number}",
                text=one.text,
                language=language,
                voice=voice,
                kind=one.kind,
                shows=one.heard,
            )
            for number, one in enumerate(sentences(language)[:sentences_each])
        ]
    return found


async def speak_all(
    planned: Sequence[Task], synthesizer: Synthesizer, runner: Runner, advance: Callable[[], None]
) -> list[Rendition | Failure]:
    """Have a target speak, one text after the other: nothing else is in the way of the first sound.

    Args:
        planned: Each a text that no other has: a server may keep what it has spoken.
        synthesizer: The target.
        runner: One job at a time.
        advance: Called after each.
    """
    warm: set[str] = set()

    async def speak(task: Task) -> Rendition:
        if task.voice not in warm:
            # Loading a model on its first use is a cold start, and measured as that.
            text = _WARM_UP.get(task.language, _WARM_UP_ELSE)
            await synthesizer.speak(text, voice=task.voice or None, language=task.language)
            warm.add(task.voice)
        spoken = await synthesizer.speak(task.text, voice=task.voice or None, language=task.language)
        samples = np.asarray(soxr.resample(spoken.samples, spoken.rate_hz, SESSION_RATE_HZ), np.float32)
        return Rendition(
            pcm16=pcm16_from_float(samples),
            audio_s=spoken.audio_s,
            first_s=spoken.first_s,
            took_s=spoken.took_s,
            gaps_s=tuple(gaps_s(spoken.arrivals)),
            clipped=clipped_runs(spoken.samples),
        )

    def key(task: Task) -> Sequence[object]:
        return (synthesizer.identity, task.voice, task.language, task.text)

    return await runner.run(planned, speak, key, Rendition, kind="tts", advance=advance)


async def listen_all(
    planned: Sequence[Task],
    spoken: Sequence[Rendition | Failure],
    listener: Transcriber,
    runner: Runner,
    advance: Callable[[], None],
) -> list[Reading]:
    """Have a recogniser listen to the target, and to the people who read the same.

    Args:
        planned: The texts.
        spoken: How each was spoken.
        listener: The recogniser.
        runner: Keeps what it understood.
        advance: Called after each.
    """
    sounds: dict[tuple[int, bool], Recording] = {}
    for number, (task, one) in enumerate(zip(planned, spoken, strict=True)):
        if isinstance(one, Rendition):
            load = partial(_file, one)
            sounds[number, False] = Recording(id=task.id, load=load, language=task.language)
        if task.recording is not None:
            sounds[number, True] = Recording(id=task.id, load=task.recording.content, language=task.language)
    found = await recognise(list(sounds.values()), listener, runner, advance)
    heard = dict(zip(sounds, found, strict=True))
    return [
        Reading(task=task, spoken=spoken[n], heard=heard.get((n, False)), floor=heard.get((n, True)))
        for n, task in enumerate(planned)
    ]


def _file(rendition: Rendition) -> bytes:
    return wav(rendition.samples)
