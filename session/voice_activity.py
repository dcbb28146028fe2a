"""Voice activity of all sessions: one call of the model a tick, however many sessions have a frame for it.

A call costs about the same for one frame as for ten: a job, a thread, the way there and back. Sessions come with a
frame every 32 ms each, so calls a tick apart have many to do when there are many sessions. The first frame after a
pause goes at once: a single session never waits.

Who has audio that came faster than it is spoken, or in long pieces, may come with many frames at a time. They are a
call of their own, and the next round waits for no tick.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import anyio
import numpy as np
import structlog
from msgspec import Struct

from engines.base import VadState
from engines.host import EngineHost
from schemas.audio import VAD_FRAME_SAMPLES, Samples

logger = structlog.get_logger("antiphon.session")

TICK_S: Final = 0.008
"""A quarter of a frame: with 300 sessions, about 75 frames a call."""

Frames = Sequence[Samples]
"""``float32, (512,)`` each: frames in a row of one stream, 16 kHz."""


class _Request(Struct, frozen=True, eq=False):
    frames: Frames
    state: VadState
    on_scores: Callable[[list[float], VadState], None]
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
        frames: Frames,
        state: VadState,
        on_scores: Callable[[list[float], VadState], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        """Ask for the speech probabilities of a stream's next frames.

        One of the two is called when they are known, or cannot be: with a probability a frame and the state after the
        last, or with why. Neither may raise.
        """
        self._requests.append(_Request(frames, state, on_scores, on_failure))
        self._requested.set()

    async def run(self) -> None:
        """Answer requests for as long as there are sessions."""
        while True:
            await self._requested.wait()
            next_tick_s = anyio.current_time() + TICK_S
            self._requested = anyio.Event()
            requests, self._requests = self._requests, []
            for alike in _as_long(requests):
                await self._answer(alike)
            if all(len(request.frames) == 1 for request in requests):
                await anyio.sleep_until(next_tick_s)

    async def _answer(self, requests: Sequence[_Request]) -> None:
        """Answer requests of as many frames each."""
        try:
            frames = np.concatenate([frame for request in requests for frame in request.frames])
            probabilities, states = await self._host.score_vad(
                frames.reshape(len(requests), -1, VAD_FRAME_SAMPLES), [request.state for request in requests]
            )
        except Exception as error:
            logger.exception("voice_activity_failed", sessions=len(requests))
            for request in requests:
                request.on_failure(error)
            return
        for request, scores, state in zip(requests, probabilities.tolist(), states, strict=True):
            request.on_scores(scores, state)


def _as_long(requests: Sequence[_Request]) -> list[list[_Request]]:
    """Requests by how many frames they have, those of one frame first: they are of who speaks now."""
    found: dict[int, list[_Request]] = {}
    for request in requests:
        found.setdefault(len(request.frames), []).append(request)
    return [found[length] for length in sorted(found)]
