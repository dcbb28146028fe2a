"""What callers ask of a server under load: recordings to recognise and texts to speak, in turns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Final

from evals.targets.base import Synthesizer, Transcriber

_CITIES: Final = ("Lisbon", "Boston", "Vienna", "Toronto", "Sydney", "Dublin", "Geneva")
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


class Traffic:
    """Requests, each unlike the ones before: what a server remembers of them helps it little.

    Args:
        transcriber: Of the target.
        synthesizer: Of the target.
        recordings: Files to recognise, in English.
    """

    def __init__(self, transcriber: Transcriber, synthesizer: Synthesizer, recordings: Sequence[bytes]) -> None:
        self._transcriber = transcriber
        self._synthesizer = synthesizer
        self._recordings = recordings
        self._numbers = count()

    async def ask(self) -> float:
        """The next request: seconds to the text, or to the first sound."""
        number = next(self._numbers)
        if number % 2:
            recording = self._recordings[number // 2 % len(self._recordings)]
            return (await self._transcriber.transcribe(recording, "en")).took_s
        return (await self._synthesizer.speak(text_of(number // 2), voice=None, language="en")).first_s


def text_of(number: int) -> str:
    """A sentence of some five seconds that no other number has."""
    city, day = _CITIES[number % len(_CITIES)], _DAYS[number % len(_DAYS)]
    return f"Train number {number + 100} to {city} leaves on {day} from platform {number % 12 + 1}, a little later."
