"""What a target can do, as far as its name tells: known before anything is asked of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from evals.targets.address import address
from schemas.models import ModelKind
from server.settings import Settings
from server.speech_engines import model_store


class Ability(StrEnum):
    """What areas need, in the words of :class:`evals.targets.base.Target`."""

    RECOGNISE = "recognise speech"
    SPEAK = "speak"
    CONVERSE = "hold sessions"


_OF_PROTOCOLS: Final = {
    "inproc": frozenset(Ability),
    "antiphon": frozenset(Ability),
    "openai": frozenset({Ability.RECOGNISE, Ability.SPEAK}),
    "wyoming": frozenset({Ability.RECOGNISE}),
}
_OF_MODELS: Final = {
    ModelKind.ASR: frozenset({Ability.RECOGNISE}),
    ModelKind.TTS: frozenset({Ability.SPEAK}),
}


def abilities(target: str, settings: Settings) -> frozenset[Ability]:
    """What its protocol has, or the model of a bare engine.

    Args:
        target: As :func:`evals.targets.address.address` reads it.
        settings: Where models are.

    Raises:
        SpeechError: ``invalid_request`` for a name that is no target, and what the catalog says of unknown models.
    """
    place = address(target)
    if place.kind == "engine":
        return _OF_MODELS.get(model_store(settings).catalog[place.place].kind, frozenset())
    return _OF_PROTOCOLS[place.kind]
