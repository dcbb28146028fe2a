from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from engines.host import EngineHost
from schemas.events import SayAudio, ServerEvent
from schemas.speech import SpeechOptions
from session.clock import FakeClock
from session.speaking import LEAD_MS, PIECE_MS, Speaker

pytestmark = pytest.mark.anyio

RATE_HZ = 24_000


class Stage(Protocol):
    async def until(self, condition: Callable[[], bool]) -> None: ...


async def test_audio_is_sent_no_further_ahead_of_the_loudspeaker_than_the_lead(
    host: EngineHost, clock: FakeClock, stage: Stage
) -> None:
    sent_ms = 0.0
    played = anyio.Event()

    def publish(event: ServerEvent, pcm: bytes | None) -> None:
        nonlocal sent_ms
        if isinstance(event, SayAudio):
            assert pcm is not None
            ahead_ms = sent_ms - (clock.now_us() - start_us) / 1000
            assert ahead_ms <= LEAD_MS
            sent_ms += 1000 * len(pcm) / 2 / RATE_HZ

    speaker = Speaker(
        host,
        "ses_1",
        clock,
        RATE_HZ,
        20.0,
        publish=publish,
        on_played=lambda _: played.set(),
        on_final_position=lambda _: None,
    )
    item_id = speaker.create("Many words, one after the other. " * 8, host.voice(None), SpeechOptions(), more=False)
    start_us = clock.now_us()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            speaker.start(tasks, item_id)
            # The clock stands still: the lead is filled, and then nothing more comes.
            while sent_ms < LEAD_MS and not played.is_set():
                await anyio.lowlevel.checkpoint()
            await wait_all_tasks_blocked()
            assert LEAD_MS <= sent_ms <= LEAD_MS + PIECE_MS
            await stage.until(played.is_set)
    assert sent_ms > 2 * LEAD_MS
