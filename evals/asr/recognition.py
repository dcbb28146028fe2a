"""Recordings given to a target, and what it made of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from evals.cache import digest
from evals.corpora.utterance import Utterance
from evals.runner import Failure, Runner
from evals.targets.base import Heard, Transcriber
from schemas.transcripts import LanguageGuess


class Recording(Struct, frozen=True, kw_only=True):
    """A file to recognise: as it is in a corpus, or what noise and lines made of it."""

    id: str
    load: Callable[[], bytes]
    """Gives the file; called when it is its turn, so that a corpus need not fit in memory."""
    language: str | None
    """To tell the target; ``None`` has it detected."""


def recording_of(utterance: Utterance) -> Recording:
    """A recording of a corpus as it is."""
    language = None if utterance.language == "und" else utterance.language
    return Recording(id=utterance.id, load=utterance.content, language=language)


async def recognise(
    recordings: Sequence[Recording],
    transcriber: Transcriber,
    runner: Runner,
    advance: Callable[[], None] = lambda: None,
    *,
    words: bool = False,
) -> list[Heard | Failure]:
    """What was heard in each, in order. What the target has recognised before is not asked again."""

    async def work(recording: Recording) -> Heard:
        return await transcriber.transcribe(recording.load(), recording.language, words=words)

    def key(recording: Recording) -> tuple[object, ...]:
        return (digest(recording.load()), transcriber.identity, recording.language, words, runner.parallel)

    return await runner.run(recordings, work, key, Heard, kind="transcript", advance=advance)


class _Detected(Struct, frozen=True):
    guess: LanguageGuess | None


async def detect(
    recordings: Sequence[Recording],
    transcriber: Transcriber,
    runner: Runner,
    advance: Callable[[], None] = lambda: None,
) -> list[LanguageGuess | Failure | None]:
    """The language of each, in order; ``None`` where the target cannot tell."""

    async def work(recording: Recording) -> _Detected:
        return _Detected(await transcriber.detect_language(recording.load()))

    def key(recording: Recording) -> tuple[object, ...]:
        return (digest(recording.load()), transcriber.identity)

    found = await runner.run(recordings, work, key, _Detected, kind="language", advance=advance)
    return [one if isinstance(one, Failure) else one.guess for one in found]
