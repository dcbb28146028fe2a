from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import httpx
import pytest
from litestar import Litestar

from engines.codec.encoder import encode_all
from schemas.audio import AudioFormat, float_from_pcm16
from schemas.errors import ErrorCode
from server.settings import LimitSettings, ModelSettings, Settings

pytestmark = pytest.mark.anyio

OpenClient = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
OpenApp = Callable[..., AbstractAsyncContextManager[Litestar]]
ErrorOf = Callable[[httpx.Response, ErrorCode], dict[str, Any]]
CallAndLeave = Callable[[Litestar, httpx.Request, threading.Event], Awaitable[list[dict[str, Any]]]]

PCM = {"Content-Type": "audio/pcm"}


async def opened(client: httpx.AsyncClient, **settings: Any) -> str:
    response = await client.post("/v1/sessions", json=settings)
    assert response.status_code == 201, response.text
    return response.json()["session_id"]


async def heard(client: httpx.AsyncClient, session_id: str) -> str:
    response = await client.post("/v1/tools/listen", json={"session_id": session_id, "timeout_s": 20})
    return response.json()["turn"]["text"]


async def in_pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def test_a_session_is_created_where_its_location_says(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/sessions", json={"language": "de", "turn": {"barge_in": False}})
    created = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/v1/sessions/{created['session_id']}"
    assert (created["state"], created["received_ms"]) == ("open", 0)
    assert (created["settings"]["language"], created["settings"]["turn"]["barge_in"]) == ("de", False)
    found = (await client.get(response.headers["location"])).json()
    assert found["settings"] == created["settings"]


@pytest.mark.parametrize(
    ("code", "settings", "param"),
    [
        (ErrorCode.INVALID_REQUEST, {"lang": "en"}, "lang"),
        (ErrorCode.INVALID_REQUEST, {"turn": {"onset_ms": 1}}, "turn.onset_ms"),
        (ErrorCode.UNKNOWN_VOICE, {"voice": "nobody"}, "voice"),
        (ErrorCode.UNKNOWN_MODEL, {"asr_model": "nonesuch"}, "model"),
        (ErrorCode.UNSUPPORTED_LANGUAGE, {"language": "xx"}, "language"),
    ],
)
async def test_bad_settings_are_refused_by_name(
    client: httpx.AsyncClient, error_of: ErrorOf, code: ErrorCode, settings: dict[str, Any], param: str
) -> None:
    assert error_of(await client.post("/v1/sessions", json=settings), code)["param"] == param


async def test_too_many_sessions_are_refused_with_a_time_to_retry(open_client: OpenClient, error_of: ErrorOf) -> None:
    settings = Settings(models=ModelSettings(warm=False), limits=LimitSettings(max_sessions=1))
    async with open_client(settings) as client:
        await opened(client)
        response = await client.post("/v1/sessions", json={})
    error_of(response, ErrorCode.TOO_MANY_SESSIONS)
    assert int(response.headers["retry-after"]) > 0


async def test_a_closed_session_can_be_read_but_not_used(client: httpx.AsyncClient, error_of: ErrorOf) -> None:
    session_id = await opened(client)
    closed = await client.delete(f"/v1/sessions/{session_id}")
    assert (closed.status_code, closed.json()["state"]) == (200, "closed")
    conversation = (await client.get(f"/v1/sessions/{session_id}/conversation")).json()
    assert (conversation["session"]["state"], conversation["items"]) == ("closed", [])
    again = await client.delete(f"/v1/sessions/{session_id}")
    assert (again.status_code, again.json()) == (200, closed.json())
    error_of(
        await client.post(f"/v1/sessions/{session_id}/audio", content=b"\0\0", headers=PCM), ErrorCode.SESSION_CLOSED
    )
    error_of(
        await client.post(f"/v1/sessions/{session_id}/playback", json={"item_id": "item_1", "played_ms": 1}),
        ErrorCode.SESSION_CLOSED,
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/conversation"),
        ("GET", "/events"),
        ("POST", "/audio"),
        ("POST", "/playback"),
        ("POST", "/input"),
    ],
)
async def test_an_unknown_session_is_not_found(
    client: httpx.AsyncClient, error_of: ErrorOf, method: str, path: str
) -> None:
    error_of(await client.request(method, f"/v1/sessions/ses_none{path}"), ErrorCode.UNKNOWN_SESSION)


@pytest.mark.parametrize("piece_bytes", [100_000, 999, 1])
async def test_raw_audio_is_heard_however_the_network_cuts_it(
    client: httpx.AsyncClient, user: Any, piece_bytes: int
) -> None:
    session_id = await opened(client)
    data = user.turn("Hi.")
    with anyio.fail_after(30):
        response = await client.post(
            f"/v1/sessions/{session_id}/audio", content=in_pieces(data, piece_bytes), headers=PCM
        )
        assert response.json() == {"accepted_ms": len(data) // 32}
        assert await heard(client, session_id) == "Hi."


@pytest.mark.parametrize("fmt", [AudioFormat.WAV, AudioFormat.OPUS])
async def test_a_file_is_heard_at_the_rate_of_the_session(
    client: httpx.AsyncClient, user: Any, fmt: AudioFormat
) -> None:
    session_id = await opened(client, input_rate_hz=48_000)
    file = encode_all(float_from_pcm16(user.turn("From a file.")), fmt, 16_000)
    with anyio.fail_after(30):
        response = await client.post(
            f"/v1/sessions/{session_id}/audio", content=file, headers={"Content-Type": f"audio/{fmt.value}"}
        )
        assert response.status_code == 200, response.text
        assert await heard(client, session_id) == "From a file."


@pytest.mark.parametrize(
    ("code", "content", "content_type"),
    [
        (ErrorCode.UNSUPPORTED_CONTENT_TYPE, b"\0\0", "text/plain"),
        (ErrorCode.INVALID_JSON, b"\0\0", "application/json"),
        (ErrorCode.UNSUPPORTED_CONTENT_TYPE, b"\0\0", None),
        (ErrorCode.EMPTY_AUDIO, b"", "audio/pcm"),
        (ErrorCode.INVALID_AUDIO, b"\0\0\0", "audio/pcm"),
        (ErrorCode.EMPTY_AUDIO, b"", "audio/wav"),
        (ErrorCode.UNSUPPORTED_FORMAT, b"no audio at all", "audio/wav"),
    ],
)
async def test_bad_audio_is_refused_and_the_session_goes_on(
    client: httpx.AsyncClient, error_of: ErrorOf, code: ErrorCode, content: bytes, content_type: str | None
) -> None:
    session_id = await opened(client)
    headers = {"Content-Type": content_type} if content_type else {}
    error_of(await client.post(f"/v1/sessions/{session_id}/audio", content=content, headers=headers), code)
    assert (await client.get(f"/v1/sessions/{session_id}")).json()["state"] == "open"


async def test_files_have_a_size_limit_and_raw_streams_have_none(
    open_client: OpenClient, error_of: ErrorOf, user: Any
) -> None:
    settings = Settings(models=ModelSettings(warm=False), limits=LimitSettings(max_body_bytes=1_000))
    async with open_client(settings) as client:
        session_id = await opened(client)
        url = f"/v1/sessions/{session_id}/audio"
        with anyio.fail_after(30):
            response = await client.post(url, content=bytes(2_000), headers={"Content-Type": "audio/wav"})
            error_of(response, ErrorCode.BODY_TOO_LARGE)
            assert (await client.post(url, content=user.silence(500), headers=PCM)).status_code == 200


async def test_a_raw_stream_may_last_longer_than_a_body(open_client: OpenClient, user: Any) -> None:
    settings = Settings(models=ModelSettings(warm=False), limits=LimitSettings(body_timeout_s=0.5))
    go_on = anyio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield user.speech("Hi.")
        with anyio.move_on_after(0.4):
            await go_on.wait()
        yield user.silence(500)
        with anyio.move_on_after(0.4):
            await go_on.wait()
        yield user.silence(500)

    async with open_client(settings) as client:
        session_id = await opened(client)
        with anyio.fail_after(30):
            response = await client.post(f"/v1/sessions/{session_id}/audio", content=slowly(), headers=PCM)
        assert response.status_code == 200, response.text


async def test_a_raw_stream_that_pauses_too_long_is_ended(open_client: OpenClient, error_of: ErrorOf) -> None:
    settings = Settings(models=ModelSettings(warm=False), limits=LimitSettings(body_timeout_s=0.05))

    async def never_ends() -> AsyncIterator[bytes]:
        yield bytes(100)
        await anyio.Event().wait()

    async with open_client(settings) as client:
        session_id = await opened(client)
        with anyio.fail_after(30):
            response = await client.post(f"/v1/sessions/{session_id}/audio", content=never_ends(), headers=PCM)
    error_of(response, ErrorCode.DEADLINE_EXCEEDED)


async def test_a_client_that_leaves_while_it_sends_leaves_the_session_open(open_app: OpenApp) -> None:
    async with open_app() as app:
        application: Any = app
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            session_id = await opened(client)
            messages: list[dict[str, Any]] = [
                {"type": "http.request", "body": bytes(3_200), "more_body": True},
                {"type": "http.disconnect"},
            ]
            sent: list[dict[str, Any]] = []

            async def receive() -> dict[str, Any]:
                return messages.pop(0)

            async def send(message: dict[str, Any]) -> None:
                sent.append(message)

            path = f"/v1/sessions/{session_id}/audio"
            scope = {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": "POST",
                "scheme": "http",
                "path": path,
                "raw_path": path.encode(),
                "query_string": b"",
                "root_path": "",
                "headers": [(b"host", b"localhost"), (b"content-type", b"audio/pcm")],
            }
            with anyio.fail_after(20):
                await application(scope, receive, send)
            assert sent[0]["status"] == 499
            assert (await client.get(f"/v1/sessions/{session_id}")).json()["state"] == "open"


async def test_a_playback_position_is_taken(client: httpx.AsyncClient, error_of: ErrorOf) -> None:
    session_id = await opened(client)
    said = await client.post("/v1/tools/say", json={"session_id": session_id, "text": "Hello.", "wait": False})
    url = f"/v1/sessions/{session_id}/playback"
    item_id = said.json()["item_id"]
    response = await client.post(url, json={"item_id": item_id, "played_ms": 10, "final": False})
    assert (response.status_code, response.content) == (204, b"")
    error_of(await client.post(url, json={"item_id": item_id, "played_ms": -1}), ErrorCode.INVALID_REQUEST)
    error_of(await client.post(url, json={"item_id": item_id}), ErrorCode.INVALID_REQUEST)


async def test_commands_about_the_input_are_taken_in_the_order_of_the_audio(
    client: httpx.AsyncClient, error_of: ErrorOf, user: Any
) -> None:
    session_id = await opened(client, turn={"detection": "manual"})
    url = f"/v1/sessions/{session_id}"
    with anyio.fail_after(30):
        for muted in (True, False):
            response = await client.post(f"{url}/input", json={"type": "mute", "muted": muted})
            assert (response.status_code, response.content) == (204, b"")
        await client.post(f"{url}/audio", content=user.turn("Hi."), headers=PCM)
        await client.post(f"{url}/input", json={"type": "commit"})
        assert await heard(client, session_id) == "Hi."
        error_of(await client.post(f"{url}/input", json={"type": "commit"}), ErrorCode.NOTHING_TO_COMMIT)
    error_of(await client.post(f"{url}/input", json={"type": "dtmf", "digit": "x"}), ErrorCode.INVALID_REQUEST)
    error_of(await client.post(f"{url}/input", json={"type": "close"}), ErrorCode.INVALID_REQUEST)
