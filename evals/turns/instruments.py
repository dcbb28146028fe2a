"""What the simulator needs of speech engines, as Protocols.

``evals`` imports no engine: whoever runs it (``antiphon eval``, a script, a test) brings voices to speak for the user,
and ears for the baselines. The server under test is reached by its public interfaces only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from schemas.audio import Samples
from schemas.speech import SpokenWord


class Speech(Struct, frozen=True, eq=False):
    """Something said by a voice."""

    samples: Samples
    """``float32, (n,)``, 16 kHz."""
    words: tuple[SpokenWord, ...]
    """Where each word lies, by the durations within the voice's model."""


class Understood(Struct, frozen=True):
    """What a recogniser made of a clip."""

    text: str
    sentence_end: float | None
    """Probability that a sentence ends behind it, by its words alone; ``None`` where nobody can say."""


class Voices(Protocol):
    """Speaks for the simulated people."""

    version: str
    """Of the models, for the cache: other weights say the same differently."""

    async def speak(self, text: str, voice: str) -> Speech:
        """The text in that voice."""
        ...


class Ears(Protocol):
    """The models a turn policy listens with."""

    version: str
    """Of the models, for the cache."""
    detector: str
    """Of the session's turn detector, which changes more often than they do."""

    async def voice_activity(self, tracks: Sequence[Samples]) -> list[NDArray[np.float32]]:
        """For each track the speech probability of every whole frame of 512 samples."""
        ...

    async def end_of_turn(self, clips: Sequence[Samples], silences: Sequence[int]) -> list[float]:
        """For each clip, which ends in so many samples of silence, the probability that the turn is over.

        As a session has it.
        """
        ...

    async def smart_turn(self, clips: Sequence[Samples]) -> list[float]:
        """The same by Smart Turn as it comes, which others use."""
        ...

    async def transcribe(self, clips: Sequence[Samples], languages: Sequence[str]) -> list[Understood]:
        """Each clip, recognised as a session would."""
        ...
