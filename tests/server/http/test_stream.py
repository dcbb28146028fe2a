from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import anyio
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from engines.fake import fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from engines.tones import decode_words
from schemas.audio import float_from_pcm16
from schemas.events import ServerEvent
from server.app import create_app
from server.settings import ModelSettings, Settings, StoreSettings
from session.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

Listening = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]

LONG = "This answer takes a good while to say and nobody wants to hear all of it."


class Client:
    """The other end: what it got, and how to send."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self.pcm: dict[str, bytes] = {}

    async def send(self, **event: Any) -> None:
        await self.socket.send(json.dumps(event))

    async def next(self) -> dict[str, Any]:
        """The next event, with its audio taken."""
        message = await self.socket.recv()
        assert isinstance(message, str), "a binary frame without its say.audio"
        event: dict[str, Any] = json.loads(message)
        self.events.append(event)
        if event["type"] == "say.audio" and event["audio"] is None:
            pcm = await self.socket.recv()
            assert isinstance(pcm, bytes), "a say.audio without its binary frame"
            self.pcm[event["item_id"]] = self.pcm.get(event["item_id"], b"") + pcm
        return event

    async def until(self, kind: str) -> dict[str, Any]:
        with anyio.fail_after(20):
            while (event := await self.next())["type"] != kind:
                pass
            return event

    async def close_code(self) -> int | None:
        with anyio.fail_after(20), pytest.raises(ConnectionClosed) as caught:
            await self._read_on()
        assert caught.value.rcvd is not None
        self.reason = caught.value.rcvd.reason
        return caught.value.rcvd.code

    async def _read_on(self) -> None:
        while True:
            await self.next()


def address(http: httpx.AsyncClient, session_id: str, query: str = "") -> str:
    return f"ws://{http.base_url.host}:{http.base_url.port}/v1/sessions/{session_id}/stream{query}"


@asynccontextmanager
async def connected(http: httpx.AsyncClient, session_id: str, query: str = "") -> AsyncGenerator[Client]:
    async with connect(address(http, session_id, query), close_timeout=1) as socket:
        yield Client(socket)


async def opened(http: httpx.AsyncClient, **settings: Any) -> str:
    return (await http.post("/v1/sessions", json={"output_rate_hz": 16_000, **settings})).json()["session_id"]


async def test_what_the_user_says_comes_back_as_events(live: httpx.AsyncClient, user: Any) -> None:
    async with connected(live, await opened(live)) as client:
        await client.socket.send(user.turn("What time is it?"))
        ended = await client.until("turn.ended")
    assert ended["text"] == "What time is it?"
    kinds = [event["type"] for event in client.events]
    assert kinds[0] == "session.opened"
    assert kinds.index("speech.started") < kinds.index("speech.stopped") < kinds.index("turn.ended")
    assert [event["seq"] for event in client.events] == list(range(1, len(kinds) + 1))


async def test_what_the_agent_says_comes_as_binary_frames_behind_their_events(live: httpx.AsyncClient) -> None:
    async with connected(live, await opened(live)) as client:
        await client.send(type="say", text="It is ten.")
        ended = await client.until("say.ended")
    assert (ended["status"], ended["heard_text"], ended["heard_source"]) == ("completed", "It is ten.", "estimated")
    words = decode_words(float_from_pcm16(client.pcm[ended["item_id"]]))
    assert [word.text for word in words] == ["It", "is", "ten."]
    pieces = [event for event in client.events if event["type"] == "say.audio"]
    assert sum(event["duration_ms"] for event in pieces) == pytest.approx(ended["duration_ms"], abs=len(pieces))


async def test_playback_acknowledgements_decide_what_was_heard(live: httpx.AsyncClient) -> None:
    async with connected(live, await opened(live)) as client:
        await client.send(type="say", text=LONG)
        item_id = (await client.until("say.started"))["item_id"]
        while sum(event.get("duration_ms", 0) for event in client.events) < 1_000:
            await client.until("say.audio")
        await client.send(type="stop_speaking")
        assert (await client.until("playback.flush"))["item_id"] == item_id
        await client.send(type="playback", item_id=item_id, played_ms=700, final=True)
        ended = await client.until("say.ended")
    assert (ended["status"], ended["heard_source"], ended["heard_ms"]) == ("interrupted", "acknowledged", 700)
    assert ended["heard_text"]
    assert f"{ended['heard_text']} {ended['remaining_text']}" == LONG


async def test_the_user_interrupts_the_agent(live: httpx.AsyncClient, user: Any) -> None:
    async with connected(live, await opened(live)) as client:
        await client.send(type="say", text=LONG)
        await client.until("say.audio")
        await client.socket.send(user.turn("Stop, please."))
        flushed = await client.until("playback.flush")
        # Which of the two is first depends on how fast the audio comes.
        with anyio.fail_after(20):
            while not {"say.ended", "turn.ended"} <= {event["type"] for event in client.events}:
                await client.next()
    events = {event["type"]: event for event in client.events}
    assert (events["say.ended"]["item_id"], events["say.ended"]["status"]) == (flushed["item_id"], "interrupted")
    assert events["turn.ended"]["text"] == "Stop, please."
    assert events["say.audio"]["epoch"] < flushed["epoch"]


async def test_the_client_ends_the_users_turn_and_passes_keys_on(live: httpx.AsyncClient, user: Any) -> None:
    async with connected(live, await opened(live, turn={"detection": "manual"})) as client:
        await client.send(type="clear")
        await client.send(type="mute", muted=False)
        await client.socket.send(user.turn("Over and out."))
        await client.send(type="commit")
        ended = await client.until("turn.ended")
        await client.send(type="dtmf", digit="#")
        assert (await client.until("dtmf"))["digit"] == "#"
    assert (ended["text"], ended["reason"]) == ("Over and out.", "command")


@pytest.mark.parametrize(
    ("sent", "code", "words"),
    [
        ("{", "invalid_json", "not valid JSON"),
        ("[]", "invalid_request", "object"),
        ("{}", "invalid_request", "type"),
        (
            '{"type": "sing"}',
            "invalid_request",
            "stop_speaking, commit, clear, mute, dtmf, close",
        ),
        ('{"type": "say", "text": "Hi.", "txet": 1}', "invalid_request", "Did you mean text?"),
        ('{"type": "say", "text": " "}', "empty_text", "nothing to speak"),
        ('{"type": "say", "text": "Hi.", "voice": "nobody"}', "unknown_voice", "fake-alto"),
        (json.dumps({"type": "say", "text": "a" * 5_001}), "text_too_long", "5000"),
        ('{"type": "playback", "item_id": "item_1", "played_ms": -1}', "invalid_request", "played_ms"),
        (b"\0\0\0", "invalid_audio", "even number"),
        pytest.param('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "invalid_json", "too deep", id="deep"),
    ],
)
async def test_a_bad_message_is_answered_and_the_connection_stays(
    live: httpx.AsyncClient, user: Any, sent: str | bytes, code: str, words: str
) -> None:
    async with connected(live, await opened(live)) as client:
        await client.socket.send(sent)
        refused = await client.until("error")
        assert (refused["error"]["code"], refused["seq"]) == (code, 0)
        assert words in refused["error"]["message"]
        await client.socket.send(user.turn("Still there?"))
        assert (await client.until("turn.ended"))["text"] == "Still there?"


async def test_an_error_is_for_the_client_that_made_it_and_not_in_the_log(live: httpx.AsyncClient) -> None:
    session_id = await opened(live)
    async with connected(live, session_id) as client:
        await client.socket.send("{")
        await client.until("error")
        await client.send(type="close")
        await client.until("session.closed")
    assert (await live.get(f"/v1/sessions/{session_id}")).json()["last_seq"] == 2


async def test_closing_ends_the_session_and_then_the_connection(live: httpx.AsyncClient) -> None:
    session_id = await opened(live)
    async with connected(live, session_id) as client:
        await client.send(type="close")
        assert await client.close_code() == 1000
        assert client.events[-1] | {"seq": 0} == {"type": "session.closed", "seq": 0, "at_ms": 0, "reason": "client"}
    assert (await live.get(f"/v1/sessions/{session_id}")).json()["state"] == "closed"


async def test_a_microphone_that_is_on_when_somebody_else_closes_the_session_gets_no_error(
    live: httpx.AsyncClient,
) -> None:
    session_id = await opened(live)
    async with connected(live, session_id) as client, anyio.create_task_group() as tasks:

        async def talk() -> None:
            with suppress(ConnectionClosed):
                while True:
                    await client.socket.send(bytes(32))  # 1 ms
                    await anyio.sleep(0.0005)

        tasks.start_soon(talk)
        await client.until("session.opened")
        tasks.start_soon(live.delete, f"/v1/sessions/{session_id}")
        assert await client.close_code() == 1000
    assert [event["type"] for event in client.events if event["seq"] == 0] == []
    assert client.events[-1]["type"] == "session.closed"


async def test_a_lost_connection_leaves_the_session_open_and_can_be_resumed(live: httpx.AsyncClient, user: Any) -> None:
    session_id = await opened(live)
    async with connected(live, session_id) as client:
        await client.socket.send(user.turn("First."))
        last = await client.until("turn.ended")
        client.socket.transport.abort()
    assert (await live.get(f"/v1/sessions/{session_id}")).json()["state"] == "open"
    async with connected(live, session_id, f"?after={last['seq']}") as client:
        await client.socket.send(user.turn("Second."))
        assert (await client.until("turn.ended"))["text"] == "Second."
    assert client.events[0]["seq"] == last["seq"] + 1


async def test_audio_that_is_no_longer_kept_is_an_event_without_a_frame(
    live: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("session.agent_audio.AUDIO_KEPT_BYTES", 1)
    session_id = await opened(live)
    with anyio.fail_after(20):
        await live.post("/v1/tools/say", json={"session_id": session_id, "text": "Gone by then."})
    async with connected(live, session_id) as client:
        await client.until("say.ended")
    audio = [event["audio"] for event in client.events if event["type"] == "say.audio"]
    assert len(audio) > 1
    assert set(audio[:-1]) == {""}


async def test_audio_from_before_the_agent_was_stopped_is_not_sent_any_more(live: httpx.AsyncClient) -> None:
    session_id = await opened(live)
    async with connected(live, session_id) as client:
        await client.send(type="say", text=LONG)
        await client.until("say.audio")
        await client.send(type="stop_speaking")
        await client.until("say.ended")
    async with connected(live, session_id) as late:
        await late.send(type="close")
        await late.until("session.closed")
    assert any(event["type"] == "say.audio" for event in late.events)
    assert late.pcm == {}


async def test_an_unknown_session_is_4404(live: httpx.AsyncClient) -> None:
    async with connected(live, "ses_none") as client:
        assert await client.close_code() == 4404
        assert "open_session" in client.reason


async def test_a_closed_session_is_4409(live: httpx.AsyncClient) -> None:
    session_id = await opened(live)
    await live.delete(f"/v1/sessions/{session_id}")
    async with connected(live, session_id) as client:
        assert await client.close_code() == 4409


@pytest.mark.parametrize("after", ["x", "-1", "99", "²", pytest.param("9" * 5_000, id="long")])
async def test_a_bad_place_to_resume_is_4400(live: httpx.AsyncClient, after: str) -> None:
    async with connected(live, await opened(live), f"?after={after}") as client:
        assert await client.close_code() == 4400


async def test_events_that_are_gone_are_4410(listening: Listening, user: Any) -> None:
    async with listening(store=MemoryStore(retention_events=2)) as http:
        session_id = await opened(http)
        async with connected(http, session_id) as client:
            await client.socket.send(user.turn("Hello."))
            await client.until("turn.ended")
        async with connected(http, session_id) as client:
            assert await client.close_code() == 4410


async def test_a_failure_of_the_server_is_1011_without_details(
    live: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("secret")

    session_id = await opened(live)
    monkeypatch.setattr("session.own_sessions.OwnSessions.find", fail)
    async with connected(live, session_id) as client:
        assert await client.close_code() == 1011
        assert "secret" not in client.reason


async def test_a_web_page_from_elsewhere_may_not_connect(live: httpx.AsyncClient) -> None:
    session_id = await opened(live)
    with pytest.raises(InvalidStatus) as caught:
        async with connect(address(live, session_id), origin="https://evil.example"):  # pyright: ignore[reportArgumentType]  # a NewType of str
            pass
    assert caught.value.response.status_code == 403


async def test_a_web_page_of_this_server_may_connect(live: httpx.AsyncClient) -> None:
    session_id = await opened(live)
    origin: Any = str(live.base_url)
    async with connect(address(live, session_id), origin=origin) as socket:
        assert (await Client(socket).until("session.opened"))["session_id"] == session_id


async def test_a_client_that_takes_no_data_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.http.stream.SEND_TIMEOUT_S", 0.05)
    closed: list[dict[str, Any]] = []
    accepted = anyio.Event()

    async with _application() as (app, session_id):

        async def receive() -> dict[str, Any]:
            if not accepted.is_set():
                accepted.set()
                return {"type": "websocket.connect"}
            await anyio.Event().wait()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "websocket.send":
                await anyio.Event().wait()
            if message["type"] == "websocket.close":
                closed.append(message)

        with anyio.fail_after(20):
            await app(_scope(session_id), receive, send)
    assert [message["code"] for message in closed] == [4408]


async def test_a_client_that_is_gone_while_events_are_sent_ends_the_connection_quietly() -> None:
    sent: list[str] = []

    async with _application() as (app, session_id):
        messages: list[dict[str, Any]] = [{"type": "websocket.connect"}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await anyio.Event().wait()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            sent.append(message["type"])
            if message["type"] == "websocket.send":
                raise OSError

        with anyio.fail_after(20):
            await app(_scope(session_id), receive, send)
    assert sent == ["websocket.accept", "websocket.send"]


async def test_events_that_are_lost_on_the_way_are_4410(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    # Memory and store keep one event each, so that a client that has not read it misses it.
    class Forgetful(MemoryStore):
        async def read(self, session_id: str, after_seq: int, limit: int) -> list[ServerEvent]:
            return await super().read(session_id, max(after_seq, 0), limit)

    monkeypatch.setattr("session.log.TAIL_EVENTS", 1)
    async with listening(store=Forgetful(retention_events=1)) as http:
        session_id = await opened(http)
        async with connected(http, session_id) as client:
            await client.send(type="say", text=LONG)
            assert await client.close_code() == 4410


def _scope(session_id: str) -> dict[str, Any]:
    path = f"/v1/sessions/{session_id}/stream"
    return {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "subprotocols": [],
    }


@asynccontextmanager
async def _application() -> AsyncGenerator[tuple[Any, str]]:
    settings = Settings(models=ModelSettings(warm=False), store=StoreSettings(kind="memory"))
    app: Any = create_app(settings, host=EngineHost(fake_engines(), HostSettings(grace_s=1.0)))
    async with app.lifespan():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield app, await opened(client)
