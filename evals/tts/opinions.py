"""What models that listen in place of people say of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from evals.runner import Failure
from evals.tts import judges
from evals.tts.judges import Identify, Judge, similarities
from evals.tts.measure import Reading, Rendition
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError

Model = TypeVar("Model")


class Scores(Struct, frozen=True, kw_only=True, eq=False):
    """Of one model."""

    missing: str = ""
    """What to install, if the model is not."""
    spoken: dict[str, float] = {}
    """By task."""
    recorded: dict[str, float] = {}
    """Of the person who read the same, by task."""


class Likeness(Struct, frozen=True, kw_only=True, eq=False):
    """Who sounds like whom."""

    missing: str = ""
    spoken: dict[str, float] = {}
    """By task: like the other utterances of its voice."""
    recorded: tuple[float, ...] = ()
    """Utterances of a person, like the others of that person."""
    strangers: tuple[float, ...] = ()
    """Voices, like other voices."""


def mean_opinion(load: Callable[[], Judge], readings: Sequence[Reading], advance: Callable[[], None]) -> Scores:
    """Scores of everything that was spoken, and of the recordings of the same texts.

    Args:
        load: :func:`evals.tts.judges.dnsmos` or another.
        readings: What was spoken.
        advance: Called after each.
    """
    judge = _loaded(load)
    if isinstance(judge, str):
        return Scores(missing=judge)
    spoken: dict[str, float] = {}
    recorded: dict[str, float] = {}
    for one in readings:
        if isinstance(one.spoken, Rendition):
            spoken[one.task.id] = judge(one.spoken.samples)
        if one.task.recording is not None and not isinstance(one.floor, Failure):
            recorded[one.task.id] = judge(one.task.recording.samples())
        advance()
    return Scores(spoken=spoken, recorded=recorded)


def likeness(readings: Sequence[Reading], load: Callable[[], Identify] = judges.resemblyzer) -> Likeness:
    """Whether a voice stays the same voice.

    Args:
        readings: What was spoken.
        load: The model.
    """
    identify = _loaded(load)
    if isinstance(identify, str):
        return Likeness(missing=identify)
    voices: dict[str, dict[str, NDArray[np.float32]]] = {}
    people: dict[str, list[NDArray[np.float32]]] = {}
    for one in readings:
        if isinstance(one.spoken, Rendition):
            voices.setdefault(one.task.voice, {})[one.task.id] = _of(identify, one.spoken.samples)
        recording = None if isinstance(one.floor, Failure) else one.task.recording
        if recording is not None and recording.speaker:
            people.setdefault(recording.speaker, []).append(_of(identify, recording.samples()))
    spoken = {
        name: value
        for vectors in voices.values()
        for name, value in zip(vectors, similarities(list(vectors.values())), strict=False)
    }
    means = [np.mean(np.stack(list(vectors.values())), axis=0) for vectors in voices.values()]
    return Likeness(
        spoken=spoken,
        recorded=tuple(value for vectors in people.values() for value in similarities(vectors)),
        strangers=tuple(similarities([a, b])[0] for a, b in combinations(means, 2)),
    )


def _of(identify: Identify, samples: Samples) -> NDArray[np.float32]:
    return np.asarray(identify(samples), np.float32)


def _loaded(load: Callable[[], Model]) -> Model | str:
    try:
        return load()
    except SpeechError as error:
        if error.code is not ErrorCode.MISSING_EXTRA:
            raise
        return error.message
