"""How late the event loop is: what every request and every frame of audio waits for, whatever it asks."""

from __future__ import annotations

import time
from typing import Final

import anyio
from prometheus_client import CollectorRegistry, Histogram

_EVERY_S: Final = 0.02
"""As often as frames of a telephone call come."""
_BUCKETS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class LoopLag:
    """Sleeps again and again, and measures by how much it overslept."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lag_s = Histogram(
            "antiphon_event_loop_lag_seconds",
            "By how much a timer of the event loop came late",
            buckets=_BUCKETS_S,
            registry=registry,
        )

    async def watch(self) -> None:
        """Measure until cancelled."""
        while True:
            due_s = time.perf_counter() + _EVERY_S
            await anyio.sleep(_EVERY_S)
            self._lag_s.observe(max(0.0, time.perf_counter() - due_s))
