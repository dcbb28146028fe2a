"""Loads the default models at start, so that the first request is as fast as the others."""

from __future__ import annotations

import gc
from typing import Final

import structlog

from engines.host import EngineHost
from schemas.errors import SpeechError
from schemas.models import ModelKind, ModelStatus

_log = structlog.stdlib.get_logger("antiphon.server")

NEEDED: Final = (ModelKind.ASR, ModelKind.TTS, ModelKind.VAD)
"""Without a model of each, the server is not ready. A turn detector is a refinement."""
_YOUNG_OBJECTS: Final = 10_000
"""New ones after which the garbage collector looks for cycles among them. Python's 700 come up 20 times a second where
200 sessions listen."""


class Warmup:
    """What is loaded at start, and how far that has come.

    Args:
        host: The engines.
        enabled: Whether to load anything; if not, models are loaded when they are first used.
    """

    def __init__(self, host: EngineHost, *, enabled: bool) -> None:
        self._host = host
        self.enabled = enabled
        self.done = not enabled
        self.failures: dict[str, str] = {}
        """Model names to messages."""

    async def run(self) -> None:
        """Load the installed defaults, one after the other. A failure is kept, and tried again at first use."""
        if missing := self.missing():
            _log.warning("models_missing", kinds=[kind.value for kind in missing], run="antiphon models pull --default")
        for status in self._defaults():
            try:
                await self._host.load(status.name)
            except SpeechError as error:
                self.failures[status.name] = error.message
                _log.warning("warmup_failed", model=status.name, code=error.code.value)
        # Libraries and models stay for good. The garbage collector went through them every few seconds, for a quarter
        # of a second, and every session waited. The sessions themselves it went through as often, for 70 ms where there
        # are 200.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG_OBJECTS)
        self.done = True

    def missing(self) -> tuple[ModelKind, ...]:
        """The kinds of which no model is installed."""
        present = {status.kind for status in self._defaults()}
        return tuple(kind for kind in NEEDED if kind not in present)

    def _defaults(self) -> list[ModelStatus]:
        return [status for status in self._host.models() if status.default and status.installed]
