"""What happens in the demo.

A person speaks; the agent listens, answers, and is interrupted in its second answer. The user's voice is a recording
of a human, in real time; the agent's part is what any agent does with the tools ``listen`` and ``say``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
import numpy as np
from msgspec import Struct

from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.events import ServerEvent
from schemas.sessions import Conversation, SessionInfo, SessionSettings, UserTurn
from schemas.tools import ListenInput, SayInput, SayOutput
from server.demo.client import AgentClient
from server.demo.headset import Headset, Tick
from server.demo.sound_card import Playback

FIRST_REPLY: Final = "I heard you say: {}"
SECOND_REPLY: Final = (
    "Now I will talk for a while, and you may stop me at any time. As soon as you speak, I fall silent, and I remember "
    "how much of this you really heard, so that nothing is lost and nothing is said twice."
)
"""Of plain words, so that counting them in a transcript is fair."""
INTERRUPT_AFTER_MS: Final = 2_000
LEAD_IN_MS: Final = 500
"""Quiet before the first word."""
LEAD_OUT_MS: Final = 600
"""Quiet after the last."""
LANGUAGE: Final = "en"
TURN_TIMEOUT_S: Final = 60.0
"""From the end of a recording to its transcript; a busy machine takes its time."""
SPEECH_TIMEOUT_S: Final = 60.0
"""From a ``say`` to the interruption."""
CLOSE_TIMEOUT_S: Final = 10.0


class Recording(Struct, frozen=True, eq=False):
    """A human voice."""

    samples: Samples
    """At :data:`schemas.audio.SESSION_RATE_HZ`."""
    text: str | None
    """What it says; ``None`` if nobody wrote it down."""


class Scenario(Struct, frozen=True, kw_only=True, eq=False):
    """Whose voices are heard."""

    speech: Recording
    interruption: Recording


class Spoken(Struct, frozen=True, kw_only=True, eq=False):
    """One answer of the agent."""

    text: str
    called_ms: int
    """On the session's clock, when ``say`` was called."""
    result: SayOutput
    playback: Playback
    flushed_ms: int | None
    """When the loudspeaker was told to stop."""


class Dialogue(Struct, frozen=True, kw_only=True, eq=False):
    """A conversation that was held, as both ends saw it."""

    session: SessionInfo
    conversation: Conversation
    events: tuple[ServerEvent, ...]
    """Of the SSE stream."""
    headset_events: tuple[ServerEvent, ...]
    """Of the WebSocket."""
    user_audio: Samples
    """At the session's input rate."""
    agent_audio: Samples
    """At its output rate, on the same clock."""
    turn: UserTurn
    """What ``listen`` returned."""
    replies: tuple[Spoken, Spoken]


async def hold(
    client: AgentClient,
    scenario: Scenario,
    *,
    on_event: Callable[[ServerEvent], None],
    on_tick: Callable[[Tick], None],
) -> Dialogue:
    """Hold the conversation.

    Args:
        client: Of the server.
        scenario: The user's part.
        on_event: Gets each event of the session, as it comes over SSE.
        on_tick: Gets each frame of the headset.

    Raises:
        SpeechError: If a part of it fails or does not come to its end.
    """
    session = await client.open_session(SessionSettings(language=LANGUAGE))
    headset = Headset(session, on_tick)
    async with (
        _following(client, session.session_id, on_event) as events,
        headset.connected(client.base_url),
    ):
        turn = await _listen(client, session.session_id, headset, scenario.speech)
        first = await _answer(client, session.session_id, headset, FIRST_REPLY.format(turn.text))
        async with _interrupting(headset, scenario.interruption):
            second = await _answer(client, session.session_id, headset, SECOND_REPLY)
        await _quiet(headset, LEAD_OUT_MS)
        session = await client.close_session(session.session_id)
        await headset.hung_up(CLOSE_TIMEOUT_S)
    return Dialogue(
        session=session,
        conversation=await client.conversation(session.session_id),
        events=tuple(events),
        headset_events=tuple(headset.events),
        user_audio=headset.microphone.captured,
        agent_audio=headset.loudspeaker.heard,
        turn=turn,
        replies=(first, second),
    )


@asynccontextmanager
async def _following(
    client: AgentClient, session_id: str, on_event: Callable[[ServerEvent], None]
) -> AsyncGenerator[list[ServerEvent]]:
    """All events of the session. The block ends when they do."""
    events: list[ServerEvent] = []

    async def follow() -> None:
        async for event in client.follow(session_id):
            events.append(event)
            on_event(event)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        yield events


async def _listen(client: AgentClient, session_id: str, headset: Headset, speech: Recording) -> UserTurn:
    await _quiet(headset, LEAD_IN_MS)
    headset.microphone.speak(speech.samples)
    speech_s = len(speech.samples) / headset.microphone.rate_hz
    heard = await client.listen(ListenInput(session_id=session_id, timeout_s=speech_s + TURN_TIMEOUT_S))
    if heard.turn is None:
        raise SpeechError(
            ErrorCode.DEADLINE_EXCEEDED,
            f"{TURN_TIMEOUT_S:.0f} s after the recording there was still no transcript. Is this machine very busy?",
        )
    return heard.turn


async def _answer(client: AgentClient, session_id: str, headset: Headset, text: str) -> Spoken:
    called_ms = headset.microphone.now_ms
    timeout_s = TURN_TIMEOUT_S
    result = await client.say(SayInput(session_id=session_id, text=text, user_timeout_s=timeout_s))
    playbacks = {playback.item_id: playback for playback in headset.loudspeaker.playbacks}
    nothing = np.zeros(0, np.float32)
    return Spoken(
        text=text,
        called_ms=called_ms,
        result=result,
        playback=playbacks.get(result.item_id, Playback(result.item_id, headset.microphone.now_ms, nothing, nothing)),
        flushed_ms=headset.flushed_ms.get(result.item_id),
    )


@asynccontextmanager
async def _interrupting(headset: Headset, interruption: Recording) -> AsyncGenerator[None]:
    """Speak into the next item that plays."""
    before = headset.loudspeaker.current

    def is_time(headset: Headset) -> bool:
        current = headset.loudspeaker.current
        return current not in {None, before} and headset.loudspeaker.played_ms(current or "") >= INTERRUPT_AFTER_MS

    async def interrupt() -> None:
        await headset.until(is_time, SPEECH_TIMEOUT_S)
        headset.microphone.speak(interruption.samples)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(interrupt)
        yield
        tasks.cancel_scope.cancel()


async def _quiet(headset: Headset, length_ms: int) -> None:
    end_ms = headset.microphone.now_ms + length_ms
    await headset.until(lambda headset: headset.microphone.now_ms >= end_ms, CLOSE_TIMEOUT_S + length_ms / 1000)
