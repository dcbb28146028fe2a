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

from engines.fake import FakeBehaviour
from schemas.errors import ErrorCode
from server.settings import LimitSettings, ModelSettings, Settings
from tools.export import ToolFormat, exported
from tools.registry import TOOLS
from tools.schema import json_schema

pytestmark = pytest.mark.anyio

OpenClient = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
OpenApp = Callable[..., AbstractAsyncContextManager[Litestar]]
ErrorOf = Callable[[httpx.Response, ErrorCode], dict[str, Any]]
CallAndLeave = Callable[[Litestar, httpx.Request, threading.Event], Awaitable[list[dict[str, Any]]]]
ParseEvents = Callable[[AsyncIterator[str]], AsyncIterator[Any]]

EVENTS = {"Accept": "text/event-stream"}


async def call(client: httpx.AsyncClient, name: str, **arguments: Any) -> httpx.Response:
    with anyio.fail_after(30):
        return await client.post(f"/v1/tools/{name}", json=arguments)


async def stream(
    client: httpx.AsyncClient, parse_events: ParseEvents, name: str, **arguments: Any
) -> list[tuple[str, Any]]:
    with anyio.fail_after(30):
        response = await client.post(f"/v1/tools/{name}", json=arguments, headers=EVENTS)
        assert response.headers["content-type"].startswith("text/event-stream")
        return [(event.event, json.loads(event.data)) async for event in parse_events(response.aiter_lines())]


async def test_the_list_has_every_tool_with_its_schemas(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/tools")).json()["tools"]
    assert [tool["name"] for tool in listed] == [tool.name for tool in TOOLS]
    for entry, tool in zip(listed, TOOLS, strict=True):
        assert entry["input_schema"] == json.loads(json.dumps(json_schema(tool.input)))
        assert set(entry["annotations"]) == {"read_only", "idempotent", "destructive", "open_world"}


async def test_a_tool_takes_and_returns_json(client: httpx.AsyncClient, spoken_wav: bytes) -> None:
    response = await call(client, "transcribe", audio=base64.b64encode(spoken_wav).decode())
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json()["text"] == "hello there. bye."


async def test_a_transcript_streams_segments_and_progress_before_the_result(
    client: httpx.AsyncClient, parse_events: ParseEvents, spoken_wav: bytes
) -> None:
    audio = base64.b64encode(spoken_wav).decode()
    events = await stream(client, parse_events, "transcribe", audio=audio)
    assert [name for name, _ in events] == ["segment", "progress", "segment", "progress", "result"]
    assert events[0][1]["segment"]["text"] == "hello there."
    assert events[-1][1] == (await call(client, "transcribe", audio=audio)).json()


async def test_speech_streams_audio_that_adds_up_to_the_result(
    client: httpx.AsyncClient, parse_events: ParseEvents
) -> None:
    events = await stream(client, parse_events, "synthesize", text="One two.", format="pcm")
    pieces = [base64.b64decode(data["audio"]) for name, data in events if name == "audio"]
    name, result = events[-1]
    assert name == "result"
    assert len(pieces) > 1
    assert b"".join(pieces) == base64.b64decode(result["audio"])


async def test_a_failure_of_a_streamed_tool_is_an_error_event(
    client: httpx.AsyncClient, parse_events: ParseEvents
) -> None:
    ((name, data),) = await stream(client, parse_events, "listen", session_id="ses_none")
    assert name == "error"
    assert data["error"]["code"] == "unknown_session"


async def test_an_unexpected_failure_of_a_streamed_tool_tells_no_details(
    open_client: OpenClient, parse_events: ParseEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("secret")

    async with open_client() as client:
        monkeypatch.setattr("session.own_sessions.OwnSessions.find", fail)
        ((name, data),) = await stream(client, parse_events, "listen", session_id="ses_none")
    assert (name, data["error"]["code"]) == ("error", "internal")
    assert "secret" not in json.dumps(data)


@pytest.mark.parametrize("headers", [{}, EVENTS])
@pytest.mark.parametrize(
    ("code", "name", "body", "words"),
    [
        (ErrorCode.UNKNOWN_TOOL, "sing", b"{}", "transcribe, synthesize"),
        (ErrorCode.INVALID_JSON, "say", b"{", "not valid JSON"),
        (ErrorCode.INVALID_REQUEST, "say", b"{}", "session_id is missing"),
        (ErrorCode.INVALID_REQUEST, "synthesize", b'{"text": "a", "speed": "fast"}', "speed"),
    ],
)
async def test_a_bad_call_is_an_error_response_streamed_or_not(
    client: httpx.AsyncClient,
    error_of: ErrorOf,
    headers: dict[str, str],
    code: ErrorCode,
    name: str,
    body: bytes,
    words: str,
) -> None:
    response = await client.post(
        f"/v1/tools/{name}", content=body, headers={"Content-Type": "application/json", **headers}
    )
    assert words in error_of(response, code)["message"]


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_arguments_must_be_declared_as_json(
    client: httpx.AsyncClient, error_of: ErrorOf, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = await client.post("/v1/tools/list_voices", content=b"{}", headers=headers)
    assert "application/json" in error_of(response, ErrorCode.UNSUPPORTED_CONTENT_TYPE)["message"]


async def test_a_body_beyond_the_limit_is_refused(open_client: OpenClient, error_of: ErrorOf) -> None:
    settings = Settings(models=ModelSettings(warm=False), limits=LimitSettings(max_body_bytes=1_000))
    async with open_client(settings) as client:
        error_of(await call(client, "transcribe", audio="A" * 2_000), ErrorCode.BODY_TOO_LARGE)


@pytest.mark.parametrize(
    ("code", "name", "arguments"),
    [
        (ErrorCode.INVALID_AUDIO, "transcribe", {"audio": "?"}),
        (ErrorCode.EMPTY_AUDIO, "transcribe", {"audio": ""}),
        (ErrorCode.UNSUPPORTED_FORMAT, "detect_language", {"audio": "AAAAAAAA"}),
        (ErrorCode.EMPTY_TEXT, "synthesize", {"text": " "}),
        (ErrorCode.UNKNOWN_VOICE, "synthesize", {"text": "Hi.", "voice": "nobody"}),
        (ErrorCode.UNKNOWN_SESSION, "say", {"session_id": "x", "text": "Hi."}),
    ],
)
async def test_errors_of_tools_have_their_status(
    client: httpx.AsyncClient, error_of: ErrorOf, code: ErrorCode, name: str, arguments: dict[str, Any]
) -> None:
    error_of(await call(client, name, **arguments), code)


async def test_the_servers_text_limit_holds(open_client: OpenClient, error_of: ErrorOf) -> None:
    settings = Settings(models=ModelSettings(warm=False), limits=LimitSettings(max_text_chars=5))
    async with open_client(settings) as client:
        error_of(await call(client, "synthesize", text="Too long."), ErrorCode.TEXT_TOO_LONG)


@pytest.mark.parametrize("headers", [{}, EVENTS])
async def test_a_client_that_leaves_cancels_the_tool_and_the_engine(
    open_app: OpenApp, call_and_leave: CallAndLeave, headers: dict[str, str]
) -> None:
    behaviour = FakeBehaviour()
    behaviour.hang()
    request = httpx.Request(
        "POST", "http://127.0.0.1:8080/v1/tools/synthesize", json={"text": "Never said."}, headers=headers
    )
    # The engine hangs until it is cancelled: that the application ends is the proof.
    with anyio.fail_after(20):
        async with open_app(behaviour=behaviour) as app:
            await call_and_leave(app, request, behaviour.called)


async def test_a_client_that_takes_no_events_is_cut_off(open_app: OpenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.http.streams.SEND_TIMEOUT_S", 0.05)
    request = httpx.Request("POST", "http://localhost/v1/tools/synthesize", json={"text": "Hello."}, headers=EVENTS)
    body = [request.read()]

    async def receive() -> dict[str, Any]:
        if body:
            return {"type": "http.request", "body": body.pop(), "more_body": False}
        await anyio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await anyio.Event().wait()

    path = request.url.path
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"}
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
    scope |= {"headers": [(name.lower(), value) for name, value in request.headers.raw]}
    with anyio.fail_after(20):
        async with open_app() as app:
            application: Any = app
            await application(scope, receive, send)


async def test_the_api_description_has_the_tools_as_they_are_exported(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    tools_alone = json.loads(exported(TOOLS, ToolFormat.OPENAPI))
    assert tools_alone["paths"].items() <= document["paths"].items()
    assert tools_alone["components"]["schemas"].items() <= document["components"]["schemas"].items()
    assert len(tools_alone["paths"]) == len(list(TOOLS))


@pytest.mark.parametrize("tool_format", list(ToolFormat))
async def test_the_list_can_be_had_in_every_format(client: httpx.AsyncClient, tool_format: ToolFormat) -> None:
    response = await client.get("/v1/tools", params={"format": tool_format})
    assert response.headers["content-type"] == "application/json"
    assert response.content == exported(TOOLS, tool_format)


async def test_a_format_there_is_not_is_refused(client: httpx.AsyncClient, error_of: ErrorOf) -> None:
    response = await client.get("/v1/tools", params={"format": "cohere"})
    assert error_of(response, ErrorCode.INVALID_REQUEST)["param"] == "format"


async def test_null_stands_for_an_argument_that_was_left_out(client: httpx.AsyncClient) -> None:
    response = await call(client, "synthesize", text="Hello.", speed=None, format=None, lexicon=None)
    assert response.json()["format"] == "wav"
    lexicon = [{"word": "Hello", "say": "Hi", "ipa": None, "match_case": None}]
    assert (await call(client, "synthesize", text="Hello.", lexicon=lexicon)).status_code == 200
