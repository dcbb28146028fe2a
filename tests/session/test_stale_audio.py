"""No sound of the agent's that was taken back is sent, whatever the user, the client and the clock do."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.fake import fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from schemas.events import PlaybackFlush, PlaybackResume, SayAudio, SayEnded, ServerEvent
from schemas.sessions import Interruption, SessionSettings
from session.clock import FakeClock
from session.manager import SessionManager
from session.runner import Session
from session.stores.memory import MemoryStore

SAID = "One two three four five six seven eight nine ten eleven twelve."
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from(list(Interruption))),
        st.tuples(st.just("wait"), st.sampled_from([20, 300, 1_500])),
        st.tuples(st.just("speak"), st.sampled_from(["Mhm.", "Stop!", "What time is it?"])),
        st.tuples(st.just("hush"), st.sampled_from([100, 400, 1_500])),
        st.tuples(st.just("report"), st.sampled_from([0, 250, 900])),
        st.tuples(st.just("stop"), st.none()),
    ),
    max_size=12,
)


async def played_out(moves: list[tuple[str, Any]], user: Any, new_virtual_time: Any) -> list[ServerEvent]:
    """All events of a session in which this happens."""
    clock = FakeClock()
    async with (
        EngineHost(fake_engines(), HostSettings()) as host,
        SessionManager(host, MemoryStore(), clock=clock) as sessions,
    ):
        session = await sessions.open(SessionSettings(partials=False))
        time = new_virtual_time(clock, host, sessions)
        due_us = 0

        def is_settled() -> bool:
            return clock.now_us() >= due_us and not time._models_work()

        begin: list[tuple[str, Any]] = [("say", Interruption.INTERRUPTIBLE), ("wait", 300)]
        for kind, value in (*begin, *moves, ("wait", 300)):
            await _move(session, kind, value, user)
            due_us = clock.now_us() + (1_000 * int(value) if kind == "wait" else 0)
            await time.until(is_settled, 0.02)
        await session.close("client")
        async with sessions.subscribe(session.session_id, 0) as events:
            return [published.event async for published in events]


async def _move(session: Session, kind: str, value: Any, user: Any) -> None:
    match kind:
        case "say":
            await session.say(SAID, interruption=value)
        case "speak":
            await session.feed(user.speech(value))
        case "hush":
            await session.feed(user.silence(value))
        case "report" if session._state.item_id is not None:
            await session.playback(session._state.item_id, value)
        case "stop":
            session.silence()
        case _:
            pass


@settings(max_examples=25)
@given(MOVES)
def test_no_audio_of_an_older_epoch_follows_and_none_of_an_item_that_was_flushed(
    user: Any, new_virtual_time: Callable[..., Any], moves: list[tuple[str, Any]]
) -> None:
    told = anyio.run(played_out, moves, user, new_virtual_time)
    epoch = 0
    over: set[str] = set()
    place_ms: dict[str, int] = {}
    for event in told:
        match event:
            case SayAudio():
                assert event.epoch >= epoch
                assert event.item_id not in over
                assert abs(event.offset_ms - place_ms.get(event.item_id, 0)) <= 1  # both are whole milliseconds
                place_ms[event.item_id] = event.offset_ms + event.duration_ms
                epoch = event.epoch
            case PlaybackResume(position_ms=int(position_ms)):
                assert event.epoch > epoch
                assert position_ms <= place_ms[event.item_id]
                epoch, place_ms[event.item_id] = event.epoch, position_ms
            case PlaybackFlush():
                assert event.epoch > epoch
                epoch = event.epoch
                over.add(event.item_id)
            case SayEnded():
                over.add(event.item_id)
            case _:
                pass
