"""Who speaks over the agent: real models, the demo's headset in real time, the server's own voice as the user."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from typing import Any, Final

import anyio
import httpx
import numpy as np
import pytest

from engines.codec.resampler import resample
from schemas.audio import SESSION_RATE_HZ, Samples, float_from_pcm16
from schemas.events import (
    PlaybackDuck,
    PlaybackFlush,
    PlaybackPause,
    PlaybackResume,
    ResponseCancelled,
    SayEnded,
    ServerEvent,
    SpeechBackchannel,
    SpeechStarted,
    TurnEnded,
)
from schemas.sessions import HeardSource, SessionSettings, SpeechStatus, WordHeard
from schemas.tools import SayInput, SayOutput
from server.demo.client import AgentClient
from server.demo.headset import Headset, Tick

pytestmark = [pytest.mark.flow, pytest.mark.real, pytest.mark.anyio, pytest.mark.timeout(300)]

RATE_HZ: Final = 24_000
ANSWER: Final = (
    "The museum opens at nine in the morning and closes at six in the evening. On Thursdays it stays open until ten, "
    "and children under twelve get in for free."
)


async def spoken(http: httpx.AsyncClient, text: str) -> Samples:
    """A text in the server's voice, at 16 kHz, without the silence around it."""
    request = {"input": text, "response_format": "wav"}
    wav = (await http.post("/v1/audio/speech", json=request)).raise_for_status().content
    with wave.open(io.BytesIO(wav)) as file:
        samples = float_from_pcm16(file.readframes(file.getnframes()))
    samples = resample(samples, RATE_HZ, SESSION_RATE_HZ)
    loud = np.flatnonzero(np.abs(samples) > 0.02)
    return samples[loud[0] : loud[-1]]


class Scene:
    """What happened while the agent said something."""

    def __init__(self, headset: Headset, result: SayOutput, spoke_ms: int | None, heard_at: dict[int, bool]) -> None:
        self.result = result
        self.events = headset.events
        self.silent_ms = headset.flushed_ms.get(result.item_id)
        self.spoke_ms = spoke_ms
        self.played = next(
            (each.played for each in headset.loudspeaker.playbacks if each.item_id == result.item_id),
            np.zeros(0, np.float32),
        )
        self.loud_ticks = heard_at

    def of(self, kind: type[ServerEvent]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


async def play_scene(server: Any, user: str | None, *, after_ms: int = 1_500) -> Scene:
    """The agent says :data:`ANSWER`, and the user something over it, when so much of it was played."""
    async with httpx.AsyncClient(base_url=server.url, timeout=120) as http:
        words = None if user is None else await spoken(http, user)
        client = AgentClient(http)
        session = await client.open_session(SessionSettings(language="en", output_rate_hz=RATE_HZ))
        loud: dict[int, bool] = {}

        def on_tick(tick: Tick) -> None:
            loud[tick.now_ms] = bool(np.max(np.abs(tick.agent)) > 0.01)

        headset = Headset(session, on_tick)
        results: list[SayOutput] = []

        async def say() -> None:
            results.append(await client.say(SayInput(session_id=session.session_id, text=ANSWER)))

        spoke_ms: int | None = None
        with anyio.fail_after(120):
            async with headset.connected(server.url), anyio.create_task_group() as tasks:
                tasks.start_soon(say)
                await headset.until(lambda line: line.loudspeaker.current is not None, 60)
                item_id = headset.loudspeaker.current or ""
                await headset.until(lambda line: line.loudspeaker.played_ms(item_id) >= after_ms, 60)
                if words is not None:
                    spoke_ms = headset.microphone.now_ms
                    headset.microphone.speak(words)
                await headset.until(lambda _: bool(results), 60)
        await client.close_session(session.session_id)
        return Scene(headset, results[0], spoke_ms, loud)


@pytest.mark.parametrize(
    ("user", "heard"), [("Stop it, that is enough.", "enough"), ("Excuse me, what does it cost?", "cost")]
)
async def test_an_interruption_silences_the_agent_and_what_was_heard_ends_there(
    server: Any, user: str, heard: str, record_property: Callable[[str, object], None]
) -> None:
    scene = await play_scene(server, user)
    assert scene.result.status is SpeechStatus.INTERRUPTED
    assert scene.result.user_turn is not None
    assert heard in scene.result.user_turn.text.lower()
    kinds = [type(event) for event in scene.events]
    order = [PlaybackDuck, ResponseCancelled, PlaybackFlush, SayEnded, SpeechStarted, TurnEnded]
    places = [kinds.index(kind) for kind in order]
    assert kinds.index(PlaybackFlush) < kinds.index(ResponseCancelled)
    assert sorted(places[3:]) == places[3:]
    assert places[0] < min(places[1:3]) < places[3]
    (ended,) = scene.of(SayEnded)
    assert ended.heard_source is HeardSource.ACKNOWLEDGED
    assert abs(ended.heard_ms - len(scene.played) * 1000 // RATE_HZ) <= 20
    words = [word.text for word in ended.words if word.heard is WordHeard.HEARD]
    assert words == ended.heard_text.split()
    assert f"{ended.heard_text} {ended.remaining_text}" == ANSWER
    assert scene.silent_ms is not None
    assert scene.spoke_ms is not None
    record_property("silent_after_ms", scene.silent_ms - scene.spoke_ms)
    assert not any(is_loud for at_ms, is_loud in scene.loud_ticks.items() if at_ms > scene.silent_ms + 100)


@pytest.mark.parametrize("user", ["I see.", "Yeah, right.", "Okay."])
async def test_listening_aloud_does_not_and_nothing_is_lost(
    server: Any, user: str, record_property: Callable[[str, object], None]
) -> None:
    whole = (await play_scene(server, None)).played  # kept by the server: the next one is the same, sample by sample
    scene = await play_scene(server, user)
    assert scene.result.status is SpeechStatus.COMPLETED
    assert scene.result.heard_text == ANSWER
    assert scene.of(TurnEnded) == scene.of(SpeechStarted) == scene.of(PlaybackFlush) == []
    assert len(scene.of(SpeechBackchannel)) >= 1
    repeated_ms = (len(scene.played) - len(whole)) * 1000 // RATE_HZ
    record_property("repeated_ms", repeated_ms)
    (ended,) = scene.of(SayEnded)
    assert repeated_ms <= len(scene.of(PlaybackPause)) * max(word.end_ms - word.start_ms for word in ended.words)
    place = 0
    for resumed in scene.of(PlaybackResume):
        if resumed.position_ms is None:
            continue
        again = resumed.position_ms * RATE_HZ // 1000
        paused = place + _common(whole[place:], scene.played)
        assert paused >= again  # it was played up to there, and a little further
        assert np.array_equal(scene.played[: paused - place], whole[place:paused])
        scene.played = scene.played[paused - place :]
        place = again
    assert np.array_equal(scene.played, whole[place:])


def _common(one: Samples, other: Samples) -> int:
    """How many samples both begin with."""
    length = min(len(one), len(other))
    different = np.flatnonzero(one[:length] != other[:length])
    return int(different[0]) if len(different) else length
