from __future__ import annotations

import base64
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import httpx
import pytest
from litestar import Litestar
from sse_starlette import EventSourceResponse

from engines.tones import decode_words
from schemas.audio import float_from_pcm16
from schemas.errors import ErrorCode
from session.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

OpenClient = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
OpenApp = Callable[..., AbstractAsyncContextManager[Litestar]]
Listening = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
ErrorOf = Callable[[httpx.Response, ErrorCode], dict[str, Any]]
CallAndLeave = Callable[[Litestar, httpx.Request, threading.Event], Awaitable[list[dict[str, Any]]]]
ParseEvents = Callable[[AsyncIterator[str]], AsyncIterator[Any]]

PCM = {"Content-Type": "audio/pcm"}


async def opened(client: httpx.AsyncClient, **settings: Any) -> str:
    return (await client.post("/v1/sessions", json=settings)).json()["session_id"]


async def held(client: httpx.AsyncClient, user: Any) -> str:
    """A session that is over, in which the user said something."""
    session_id = await opened(client)
    await client.post(f"/v1/sessions/{session_id}/audio", content=user.turn("Hello."), headers=PCM)
    await client.post("/v1/tools/listen", json={"session_id": session_id})
    await client.delete(f"/v1/sessions/{session_id}")
    return session_id


async def seen(
    client: httpx.AsyncClient, parse: ParseEvents, session_id: str, *, query: str = "", **headers: str
) -> list[Any]:
    """All events of a session that is over."""
    with anyio.fail_after(20):
        response = await client.get(f"/v1/sessions/{session_id}/events{query}", headers=headers)
        assert response.status_code == 200, response.text
        return [event async for event in parse(response.aiter_lines())]


async def test_events_have_numbers_types_and_json(
    client: httpx.AsyncClient, parse_events: ParseEvents, user: Any
) -> None:
    events = await seen(client, parse_events, await held(client, user))
    assert [event.id for event in events] == [str(number) for number in range(1, len(events) + 1)]
    assert (events[0].event, events[-1].event) == ("session.opened", "session.closed")
    assert "turn.ended" in [event.event for event in events]
    for event in events:
        data = json.loads(event.data)
        assert (str(data["seq"]), data["type"]) == (event.id, event.event)


async def test_resuming_gives_exactly_what_came_after(
    client: httpx.AsyncClient, parse_events: ParseEvents, user: Any
) -> None:
    session_id = await held(client, user)
    everything = await seen(client, parse_events, session_id)
    by_header = await seen(client, parse_events, session_id, **{"Last-Event-ID": "2"})
    by_query = await seen(client, parse_events, session_id, query="?after=2")
    assert by_header == by_query == everything[2:]


async def test_the_header_of_a_reconnecting_browser_beats_the_url(
    client: httpx.AsyncClient, parse_events: ParseEvents, user: Any
) -> None:
    session_id = await held(client, user)
    events = await seen(client, parse_events, session_id, query="?after=1", **{"Last-Event-ID": "3"})
    assert events[0].id == "4"


async def test_who_has_seen_the_end_is_told_not_to_come_back(
    client: httpx.AsyncClient, parse_events: ParseEvents, user: Any
) -> None:
    session_id = await held(client, user)
    last = (await seen(client, parse_events, session_id))[-1]
    response = await client.get(f"/v1/sessions/{session_id}/events", headers={"Last-Event-ID": last.id})
    assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize("last_event_id", ["x", "-1", "1.5", "²", "99", pytest.param("9" * 5_000, id="long")])
async def test_a_bad_last_event_id_is_refused(client: httpx.AsyncClient, error_of: ErrorOf, last_event_id: str) -> None:
    session_id = await opened(client)
    response = await client.get(
        f"/v1/sessions/{session_id}/events", headers=[(b"Last-Event-ID", last_event_id.encode())]
    )
    assert error_of(response, ErrorCode.INVALID_REQUEST)["param"] == "Last-Event-ID"


@pytest.mark.parametrize("query", ["?after=-1", "?after=x", "?audio=mp3"])
async def test_a_bad_query_is_refused(client: httpx.AsyncClient, error_of: ErrorOf, query: str) -> None:
    session_id = await opened(client)
    error_of(await client.get(f"/v1/sessions/{session_id}/events{query}"), ErrorCode.INVALID_REQUEST)


async def test_events_that_are_gone_are_answered_with_a_snapshot_to_go_on_from(
    listening: Listening, parse_events: ParseEvents, error_of: ErrorOf, user: Any
) -> None:
    async with listening(store=MemoryStore(retention_events=3)) as client:
        session_id = await held(client, user)
        url = f"/v1/sessions/{session_id}/events"
        response = await client.get(url, headers={"Last-Event-ID": "1"})
        error_of(response, ErrorCode.EVENTS_EXPIRED)
        snapshot = response.json()["snapshot"]
        assert snapshot["session"]["session_id"] == session_id
        last_seq = snapshot["session"]["last_seq"]
        assert (await client.get(url, headers={"Last-Event-ID": str(last_seq)})).status_code == 204
        assert [event.id for event in await seen(client, parse_events, session_id, query=f"?after={last_seq - 3}")]


async def test_a_snapshot_has_what_is_known_of_speech_whose_beginning_is_gone(
    listening: Listening, error_of: ErrorOf
) -> None:
    async with listening(store=MemoryStore(retention_events=2)) as client:
        session_id = await opened(client)
        with anyio.fail_after(20):
            await client.post("/v1/tools/say", json={"session_id": session_id, "text": "Hello there."})
        await client.delete(f"/v1/sessions/{session_id}")
        response = await client.get(f"/v1/sessions/{session_id}/events")
        error_of(response, ErrorCode.EVENTS_EXPIRED)
    (item,) = response.json()["snapshot"]["items"]
    assert (item["status"], item["heard_text"]) == ("completed", "Hello there.")


async def test_events_of_an_open_session_come_as_they_happen(
    live: httpx.AsyncClient, parse_events: ParseEvents, user: Any
) -> None:
    session_id = await opened(live)
    with anyio.fail_after(20):
        async with live.stream("GET", f"/v1/sessions/{session_id}/events") as response:
            events = parse_events(response.aiter_lines())
            assert (await anext(events)).event == "session.opened"
            await live.post(f"/v1/sessions/{session_id}/audio", content=user.turn("Hello."), headers=PCM)
            async for event in events:
                if event.event == "turn.ended":
                    assert json.loads(event.data)["text"] == "Hello."
                    break
            await live.delete(f"/v1/sessions/{session_id}")
            assert [event.event async for event in events] == ["session.closed"]


async def test_a_client_that_comes_back_misses_nothing(
    live: httpx.AsyncClient, parse_events: ParseEvents, user: Any
) -> None:
    session_id = await opened(live)
    url = f"/v1/sessions/{session_id}/events"
    with anyio.fail_after(20):
        async with live.stream("GET", url) as response:
            first = await anext(parse_events(response.aiter_lines()))
        await live.post(f"/v1/sessions/{session_id}/audio", content=user.turn("Hello."), headers=PCM)
        await live.post("/v1/tools/listen", json={"session_id": session_id})
        await live.delete(f"/v1/sessions/{session_id}")
        rest = await seen(live, parse_events, session_id, **{"Last-Event-ID": first.id})
    assert [int(event.id) for event in rest] == list(range(2, 2 + len(rest)))


async def test_speech_comes_as_base64_or_not_at_all(live: httpx.AsyncClient, parse_events: ParseEvents) -> None:
    session_id = await opened(live, output_rate_hz=16_000)
    with anyio.fail_after(20):
        said = await live.post("/v1/tools/say", json={"session_id": session_id, "text": "Hello there."})
        assert said.json()["heard_text"] == "Hello there."
        pcm: dict[str, bytes] = {}
        for mode in ("base64", "none"):
            async with live.stream("GET", f"/v1/sessions/{session_id}/events?audio={mode}") as response:
                pieces: list[str] = []
                async for event in parse_events(response.aiter_lines()):
                    if event.event == "say.audio":
                        pieces.append(json.loads(event.data)["audio"] or "")
                    if event.event == "say.ended":
                        break
                pcm[mode] = b"".join(base64.b64decode(piece) for piece in pieces)
    assert [word.text for word in decode_words(float_from_pcm16(pcm["base64"]))] == ["Hello", "there."]
    assert pcm["none"] == b""


async def test_a_quiet_stream_is_kept_alive_by_pings(live: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EventSourceResponse, "DEFAULT_PING_INTERVAL", 0.02)
    session_id = await opened(live)
    with anyio.fail_after(20):
        async with live.stream("GET", f"/v1/sessions/{session_id}/events?after=1") as response:
            assert (await anext(response.aiter_lines())).startswith(": ping")


async def test_the_stream_ends_with_the_client(open_app: OpenApp, call_and_leave: CallAndLeave) -> None:
    left = threading.Event()
    left.set()
    async with open_app() as app:
        application: Any = app
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            session_id = await opened(client)
            request = httpx.Request("GET", f"http://localhost/v1/sessions/{session_id}/events")
            with anyio.fail_after(20):
                sent = await call_and_leave(app, request, left)
            assert sent[0]["status"] == 200
            assert (await client.get(f"/v1/sessions/{session_id}")).json()["state"] == "open"
