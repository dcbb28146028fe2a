"""Voice activity of all sessions: one call of the model a tick, however many sessions have a frame for it.

A call costs about the same for one frame as for ten: a job, a thread, the way there and back. Sessions come with a
frame every 32 ms each, so calls a tick apart have many to do when there are many sessions. The first frame after a
pause goes at once: a single session never waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio
import numpy as np
import structlog
from msgspec import Struct

from engines.base import VadState
from engines.host import EngineHost
from schemas.audio import Samples

logger = structlog.get_logger("antiphon.session")

TICK_S: Final = 0.008
"""A quarter of a frame: with 300 sessions, about 75 frames a call."""


class _Request(Struct, frozen=True, eq=False):
    frame: Samples
    state: VadState
    on_score: Callable[[float, VadState], None]
    on_failure: Callable[[Exception], None]


class VoiceActivity:
    """Owned by the session manager, which runs it as a task. At most one request a session waits here."""

    def __init__(self, host: EngineHost) -> None:
        self._host = host
        self._requests: list[_Request] = []
        self._requested = anyio.Event()

    def initial_state(self) -> VadState:
        """The state of a stream that has heard nothing.

        Raises:
            SpeechError: ``model_not_installed`` if there is no VAD.
        """
        return self._host.vad_initial_state()

    def score(
        self,
        frame: Samples,
        state: VadState,
        on_score: Callable[[float, VadState], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        """Ask for the speech probability of a frame, ``float32, (512,)`` at 16 kHz.

        One of the two is called when it is known, or cannot be: with the probability and the state after the frame,
        or with why. Neither may raise.
        """
        self._requests.append(_Request(frame, state, on_score, on_failure))
        self._requested.set()

    async def run(self) -> None:
        """Answer requests for as long as there are sessions."""
        while True:
            await self._requested.wait()
            next_tick_s = anyio.current_time() + TICK_S
            self._requested = anyio.Event()
            requests, self._requests = self._requests, []
            await self._answer(requests)
            await anyio.sleep_until(next_tick_s)

    async def _answer(self, requests: list[_Request]) -> None:
        try:
            probabilities, states = await self._host.score_vad(
                np.stack([request.frame for request in requests]), [request.state for request in requests]
            )
        except Exception as error:
            logger.exception("voice_activity_failed", sessions=len(requests))
            for request in requests:
                request.on_failure(error)
            return
        for request, probability, state in zip(requests, probabilities.tolist(), states, strict=True):
            request.on_score(probability, state)
