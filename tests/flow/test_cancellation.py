"""How soon an engine knows that nobody wants its work any more: in this process, over an engine that writes it down."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace

from engines.fake import FakeBehaviour, FakeTts, fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from schemas.sessions import SessionSettings, SpeechStatus
from session.manager import SessionManager
from session.stores.memory import MemoryStore

pytestmark = [pytest.mark.flow, pytest.mark.anyio]

TIMES = 15
WITHIN_S = 0.1


async def test_synthesis_is_stopped_within_a_tenth_of_a_second_of_an_interruption(
    record_property: Callable[[str, object], None],
) -> None:
    busy = FakeBehaviour()
    engines = fake_engines()
    engines["fake-tts"] = replace(engines["fake-tts"], load=lambda: FakeTts(behaviour=busy))
    took_s: list[float] = []
    async with EngineHost(engines, HostSettings()) as host, SessionManager(host, MemoryStore()) as sessions:
        session = await sessions.open(SessionSettings())
        with anyio.fail_after(60):
            for number in range(TIMES):
                busy.called.clear()
                busy.hang()  # in the middle of a word
                item_id = await session.say(f"Sentence number {number} is never said to its end.")
                while not busy.called.is_set():
                    await anyio.lowlevel.checkpoint()
                stopped_s = time.monotonic()
                session.silence()
                while len(busy.cancelled_s) <= number:
                    await anyio.lowlevel.checkpoint()
                took_s.append(busy.cancelled_s[number] - stopped_s)
                busy.go_on()
                assert (await session.wait_spoken(item_id)).status is SpeechStatus.INTERRUPTED
    record_property("median_ms", round(1000 * median(took_s), 1))
    record_property("longest_ms", round(1000 * max(took_s), 1))
    assert median(took_s) <= WITHIN_S
