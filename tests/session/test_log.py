from __future__ import annotations

import anyio
import pytest

from schemas.errors import ErrorCode, SpeechError
from schemas.events import SayAudio, SayEnded, SayText, SessionClosed
from schemas.sessions import HeardSource, SessionSettings, SessionState, SpeechStatus
from session.agent_audio import AUDIO_KEPT_BYTES
from session.log import UNWRITTEN_EVENTS_MAX, EventLog
from session.stores.base import SessionRecord
from session.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio


async def test_a_log_whose_store_does_not_keep_up_takes_no_more_but_still_ends() -> None:
    store = MemoryStore()
    await store.create(
        SessionRecord(session_id="ses_1", created_at="", settings=SessionSettings(), state=SessionState.OPEN)
    )
    log = EventLog("ses_1", store)
    text = SayText(item_id="item_1", text="a")
    for _ in range(UNWRITTEN_EVENTS_MAX):
        log.publish(text, 0)
    with pytest.raises(SpeechError) as refused:
        log.publish(text, 0)
    assert refused.value.code is ErrorCode.OVERLOADED
    ended = SayEnded(
        item_id="item_1",
        status=SpeechStatus.INTERRUPTED,
        heard_text="",
        remaining_text="",
        heard_ms=0,
        duration_ms=0,
        heard_source=HeardSource.ESTIMATED,
    )
    log.publish(ended, 0)
    log.publish(SessionClosed(reason="client"), 0)
    with anyio.fail_after(20):
        await log.write()
    kept = await store.read("ses_1", UNWRITTEN_EVENTS_MAX, 10)
    assert [(event.seq, type(event)) for event in kept] == [
        (UNWRITTEN_EVENTS_MAX + 1, SayEnded),
        (UNWRITTEN_EVENTS_MAX + 2, SessionClosed),
    ]


async def test_of_the_agents_audio_the_newest_few_megabytes_are_kept() -> None:
    store = MemoryStore()
    await store.create(
        SessionRecord(session_id="ses_1", created_at="", settings=SessionSettings(), state=SessionState.OPEN)
    )
    log = EventLog("ses_1", store)
    pieces = 12
    piece = bytes(AUDIO_KEPT_BYTES // 4)
    for number in range(pieces):
        log.publish(SayAudio(item_id="item_1", epoch=1, offset_ms=100 * number, duration_ms=100), 0, piece)
    log.publish(SessionClosed(reason="client"), 0)
    with anyio.fail_after(20):
        await log.write()
        kept = [published.pcm async for published in log.follow(0) if isinstance(published.event, SayAudio)]
    assert kept == [None] * (pieces - 4) + [piece] * 4
