from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import anyio
import numpy as np
import pytest
from anyio import wait_all_tasks_blocked
from msgspec import Struct

from engines.host import EngineHost
from schemas.audio import Samples, float_from_pcm16
from schemas.events import PlaybackResume, PlaybackStalled, SayAudio, SayEnded, ServerEvent
from schemas.sessions import SpeechStatus, WordHeard
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
        on_audible=lambda _: None,
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


Event = TypeVar("Event", bound=Struct)

LONG = "one two three four five six seven eight nine ten eleven twelve"


class Client:
    """A loudspeaker with a buffer, told what to do by events: its own position is the truth."""

    def __init__(self, host: EngineHost, clock: FakeClock) -> None:
        self.played = anyio.Event()
        self.audible: list[str] = []
        self.events: list[ServerEvent] = []
        self.buffer: list[tuple[int, Samples]] = []
        self.speaker = Speaker(
            host,
            "ses_1",
            clock,
            RATE_HZ,
            20.0,
            publish=self._publish,
            on_audible=self.audible.append,
            on_played=lambda _: self.played.set(),
            on_final_position=lambda _: None,
        )
        self.item_id = self.speaker.create(LONG, host.voice(None), SpeechOptions(), more=False)

    def _publish(self, event: ServerEvent, pcm: bytes | None) -> None:
        self.events.append(event)
        match event:
            case SayAudio():
                assert pcm is not None
                self.buffer.append((event.offset_ms, float_from_pcm16(pcm)))
            case PlaybackResume(position_ms=int(position_ms)):
                kept = [(at_ms, audio[: (position_ms - at_ms) * RATE_HZ // 1000]) for at_ms, audio in self.buffer]
                self.buffer = [(at_ms, audio) for at_ms, audio in kept if at_ms < position_ms]
            case _:
                pass

    @property
    def audio(self) -> Samples:
        """All the item's audio that it has."""
        return np.concatenate([audio for _, audio in self.buffer])

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


async def test_what_is_resumed_is_sent_again_from_the_start_of_the_interrupted_word_and_nothing_is_lost(
    host: EngineHost, clock: FakeClock, stage: Stage
) -> None:
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            whole = Client(host, clock)
            whole.speaker.start(tasks, whole.item_id)
            await stage.until(whole.played.is_set)
            client = Client(host, clock)
            speaker, item_id = client.speaker, client.item_id
            speaker.start(tasks, item_id)
            await stage.until(lambda: len(client.buffer) > 5)
            assert client.audible == [item_id]
            speaker.acknowledge(item_id, 1_050, final=False)
            speaker.pause(item_id)
            sent = len(client.buffer)
            await stage.until(lambda: clock.now_us() % 1_000_000 == 0)
            assert len(client.buffer) == sent  # nothing is sent to who stands still
            before = client.of(SayAudio)[-1]
            speaker.bump_epoch()
            speaker.resume(item_id)
            (resumed,) = client.of(PlaybackResume)
            assert resumed.position_ms is not None
            assert speaker.is_stale(before)
            first = next(event for event in client.of(SayAudio) if event.offset_ms == 0)
            assert not speaker.is_stale(first)  # from before the position: whoever has it queued may play it

            def is_played() -> bool:
                speaker.acknowledge(item_id, client.buffer[-1][0], final=False)
                return client.played.is_set()

            await stage.until(is_played)
            speaker.end(item_id, interrupted=False)
            ended = client.events[-1]
            assert isinstance(ended, SayEnded)
            resent = np.concatenate([audio for at_ms, audio in client.buffer if at_ms >= resumed.position_ms])
            kept_samples = len(client.audio) - len(resent)
            assert np.array_equal(resent, whole.audio[resumed.position_ms * RATE_HZ // 1000 :])
            assert np.array_equal(client.audio[:kept_samples], whole.audio[:kept_samples])
            assert 0 <= len(client.audio) - len(whole.audio) < RATE_HZ // 1000  # offsets are whole milliseconds
            assert (ended.status, ended.heard_text) == (SpeechStatus.COMPLETED, LONG)
            interrupted = next(word for word in ended.words if word.start_ms <= 1_050 < word.end_ms)
            assert resumed.position_ms == interrupted.start_ms
            assert {word.heard for word in ended.words} == {WordHeard.HEARD}


async def test_a_client_that_stops_acknowledging_is_said_to_stall_once_and_again_after_it_came_back(
    host: EngineHost, clock: FakeClock, stage: Stage
) -> None:
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            client = Client(host, clock)
            client.speaker.start(tasks, client.item_id)
            await stage.until(lambda: len(client.buffer) > 5)
            client.speaker.acknowledge(client.item_id, 300, final=False)
            await stage.until(lambda: bool(client.of(PlaybackStalled)))
            assert client.of(PlaybackStalled) == [PlaybackStalled(item_id=client.item_id, played_ms=300)]
            client.speaker.acknowledge(client.item_id, 500, final=False)
            await stage.until(lambda: len(client.of(PlaybackStalled)) == 2)
            tasks.cancel_scope.cancel()


async def test_who_acknowledges_has_played_an_item_when_they_say_so_and_not_when_the_clock_does(
    host: EngineHost, clock: FakeClock, stage: Stage
) -> None:
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            client = Client(host, clock)
            client.speaker.start(tasks, client.item_id)
            await stage.until(lambda: len(client.buffer) > 5)
            while not client.played.is_set():
                sent_ms = client.buffer[-1][0] + 100
                played_ms = sent_ms - 600 if sent_ms < 3_600 else sent_ms
                client.speaker.acknowledge(client.item_id, played_ms, final=False)
                before = clock.now_us()
                await stage.until(lambda before=before: clock.now_us() - before >= 100_000)
            assert client.of(PlaybackStalled) == []
