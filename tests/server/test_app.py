from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import httpx
import pytest
import structlog
from litestar import Litestar, get

from engines.fake import fake_engines
from engines.host import EngineHost
from engines.spec import EngineSpec, HostSettings
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind
from server.app import create_app
from server.settings import LimitSettings, ModelSettings, ServerSettings, Settings, StoreSettings

pytestmark = pytest.mark.anyio

OpenClient = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
OpenApp = Callable[..., AbstractAsyncContextManager[Litestar]]
ErrorOf = Callable[[httpx.Response, ErrorCode], dict[str, Any]]

COLD = ModelSettings(warm=False)


async def test_health_needs_no_models(open_client: OpenClient) -> None:
    async with open_client(host=EngineHost({}, HostSettings())) as client:
        response = await client.get("/healthz")
        assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_readiness_says_what_is_missing(open_client: OpenClient) -> None:
    engines = {name: spec for name, spec in fake_engines().items() if spec.kind is not ModelKind.TTS}
    async with open_client(host=EngineHost(engines, HostSettings())) as client:
        response = await client.get("/readyz")
        assert response.status_code == 503
        problems = ["No tts model is installed. Run: antiphon models pull --default"]
        assert response.json() == {"status": "not_ready", "problems": problems}


async def test_readiness_comes_when_the_models_are_loaded(open_client: OpenClient) -> None:
    with anyio.fail_after(20):
        async with open_client(Settings()) as client:
            while (await client.get("/readyz")).json()["status"] == "loading":
                await anyio.lowlevel.checkpoint()
            response = await client.get("/readyz")
            assert (response.status_code, response.json()["status"]) == (200, "ready")
            assert all(model["loaded"] for model in (await client.get("/v1/models")).json()["data"])


async def test_a_model_that_cannot_be_loaded_is_reported_and_does_not_stop_the_server(open_client: OpenClient) -> None:
    def broken() -> Any:
        raise SpeechError(ErrorCode.MODEL_CORRUPT, "The model is damaged. Run: antiphon models pull fake-asr")

    engines = fake_engines() | {"fake-asr": EngineSpec(kind=ModelKind.ASR, engine="fake", load=broken, default=True)}
    with anyio.fail_after(20):
        async with open_client(Settings(), host=EngineHost(engines, HostSettings())) as client:
            while (await client.get("/readyz")).json()["status"] == "loading":
                await anyio.lowlevel.checkpoint()
            response = await client.get("/readyz")
            assert response.status_code == 503
            assert "antiphon models pull fake-asr" in response.json()["problems"][0]
            assert (await client.post("/v1/audio/speech", json={"input": "Hi."})).status_code == 200


@pytest.mark.parametrize("path", ["/", "/nowhere", "/v1", "/v1/audio/speech/x", "/%00", "/v1/models/"])
async def test_what_is_not_there_is_a_typed_error(client: httpx.AsyncClient, error_of: ErrorOf, path: str) -> None:
    response = await client.get(path)
    if path == "/v1/models/":
        assert response.status_code == 200
    else:
        error_of(response, ErrorCode.NOT_FOUND)


async def test_a_wrong_method_is_a_typed_error(client: httpx.AsyncClient, error_of: ErrorOf) -> None:
    response = await client.get("/v1/audio/speech")
    error = error_of(response, ErrorCode.METHOD_NOT_ALLOWED)
    assert "POST" in response.headers["allow"]
    assert "GET" in error["message"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/audio/speech", "OPTIONS, POST"),
        ("/v1/audio/voices", "GET, OPTIONS, POST"),
        ("/v1/sessions/ses_x", "DELETE, GET, OPTIONS"),
    ],
)
async def test_options_names_every_method_of_a_path(client: httpx.AsyncClient, path: str, allowed: str) -> None:
    response = await client.options(path)
    assert (response.status_code, response.headers["allow"]) == (204, allowed)


async def test_a_foreign_host_is_refused_on_every_path(client: httpx.AsyncClient, error_of: ErrorOf) -> None:
    for path in ("/healthz", "/nowhere", "/metrics", "/docs"):
        error_of(await client.get(path, headers={"host": "evil.example"}), ErrorCode.FORBIDDEN)


async def test_a_page_from_elsewhere_is_refused(client: httpx.AsyncClient, error_of: ErrorOf) -> None:
    headers = {"origin": "http://evil.example"}
    error_of(await client.post("/v1/audio/speech", json={"input": "Hi."}, headers=headers), ErrorCode.FORBIDDEN)


async def test_an_allowed_host_is_answered_to(open_client: OpenClient) -> None:
    settings = Settings(models=COLD, server=ServerSettings(allowed_hosts=("speech.example",)))
    async with open_client(settings) as client:
        headers = {"host": "speech.example", "origin": "https://speech.example"}
        assert (await client.get("/healthz", headers=headers)).status_code == 200


async def test_a_websocket_from_a_foreign_page_is_closed_before_the_handshake(open_app: OpenApp) -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": "/v1/sessions/x/stream",
        "raw_path": b"/v1/sessions/x/stream",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"origin", b"http://evil.example")],
    }
    async with open_app() as app:
        application: Any = app
        await application(scope, receive, send)
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    open_client: OpenClient, error_of: ErrorOf, *, chunked: bool
) -> None:
    limit_bytes, piece = 10_000, b"x" * 1_000
    pieces_sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal pieces_sent
        for _ in range(100):
            pieces_sent += 1
            yield piece

    headers = {} if chunked else {"content-length": "100000"}
    async with open_client(Settings(models=COLD, limits=LimitSettings(max_body_bytes=limit_bytes))) as client:
        for path, content_type in (
            ("/v1/audio/speech", "application/json"),
            ("/v1/audio/transcriptions", "multipart/form-data; boundary=b"),
        ):
            pieces_sent = 0
            response = await client.post(path, content=body(), headers=headers | {"content-type": content_type})
            assert "10000 bytes" in error_of(response, ErrorCode.BODY_TOO_LARGE)["message"]
            assert pieces_sent <= (11 if chunked else 0)


async def test_a_body_that_does_not_arrive_in_time_is_given_up(open_client: OpenClient, error_of: ErrorOf) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep_forever()

    settings = Settings(models=COLD, limits=LimitSettings(body_timeout_s=0.1))
    with anyio.fail_after(20):
        async with open_client(settings) as client:
            for path, content_type in (
                ("/v1/audio/speech", "application/json"),
                ("/v1/audio/transcriptions", "multipart/form-data; boundary=b"),
            ):
                response = await client.post(path, content=body(), headers={"content-type": content_type})
                error_of(response, ErrorCode.DEADLINE_EXCEEDED)


async def test_a_connection_whose_body_did_not_arrive_in_time_is_closed(open_client: OpenClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep_forever()

    settings = Settings(models=COLD, limits=LimitSettings(body_timeout_s=0.1))
    with anyio.fail_after(20):
        async with open_client(settings) as client:
            headers = {"content-type": "application/json"}
            late = await client.post("/v1/sessions", content=body(), headers=headers)
            in_time = await client.post("/v1/sessions", content=b"{}", headers=headers)
    assert (late.status_code, late.headers.get("connection")) == (504, "close")
    assert (in_time.status_code, in_time.headers.get("connection")) == (201, None)


async def test_a_client_that_leaves_while_sending_is_no_failure_of_the_server(open_app: OpenApp) -> None:
    messages = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    path = "/v1/audio/speech"
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    async with open_app() as app:
        application: Any = app
        await application(scope | {"root_path": "", "headers": headers}, receive, send)
    assert sent[0]["status"] == 499


async def test_an_unexpected_exception_is_an_internal_error_without_details(error_of: ErrorOf) -> None:
    @get("/boom", sync_to_thread=False)
    def boom() -> None:
        raise RuntimeError("secret in /srv/models")

    settings = Settings(models=COLD, store=StoreSettings(kind="memory"))
    app = create_app(settings, host=EngineHost(fake_engines(), HostSettings()))
    app.register(boom)
    application: Any = app
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    with structlog.testing.capture_logs() as logs:
        async with app.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            response = await client.get("/boom")
    error = error_of(response, ErrorCode.INTERNAL)
    assert "secret" not in response.text
    (failure,) = [log for log in logs if log["event"] == "request_failed"]
    assert failure["log_level"] == "error"
    assert failure["exc_info"]
    assert error["request_id"]


async def test_requests_are_logged_by_route_without_what_was_said(client: httpx.AsyncClient, spoken_wav: bytes) -> None:
    with structlog.testing.capture_logs() as logs:
        await client.post("/v1/audio/transcriptions?token=hunter2", files={"file": ("secret-name.wav", spoken_wav)})
        await client.post("/v1/audio/speech", json={"input": "My password is swordfish."})
        await client.get("/v1/models/fake-asr")
        await client.get("/nowhere/swordfish")
    requests = [log for log in logs if log["event"] == "request"]
    assert [(log["method"], log["route"], log["status"]) for log in requests] == [
        ("POST", "/v1/audio/transcriptions", 400),
        ("POST", "/v1/audio/speech", 200),
        ("GET", "/v1/models/{name}", 200),
        ("GET", "(unrouted)", 404),
    ]
    assert all(log["duration_ms"] > 0 for log in requests)
    for said in ("hunter2", "secret-name", "hello", "swordfish"):
        assert said not in str(logs)


async def test_metrics_count_requests_and_show_engines(client: httpx.AsyncClient) -> None:
    await client.post("/v1/audio/speech", json={"input": "Hi."})
    await client.get("/nowhere")
    await client.request("BREW", "/healthz")
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    lines = response.text.splitlines()
    for line in (
        'antiphon_http_requests_total{method="POST",route="/v1/audio/speech",status="200"} 1.0',
        'antiphon_http_requests_total{method="GET",route="(unrouted)",status="404"} 1.0',
        'antiphon_http_requests_total{method="OTHER",route="(unrouted)",status="405"} 1.0',
        'antiphon_http_request_duration_seconds_count{method="POST",route="/v1/audio/speech"} 1.0',
        "antiphon_http_requests_in_progress 1.0",
        "antiphon_sessions_open 0.0",
        "antiphon_partial_words_revised_total 0.0",
        "antiphon_finals_dropped_total 0.0",
        'antiphon_model_loaded{kind="tts",model="fake-tts"} 1.0',
        'antiphon_model_loaded{kind="asr",model="fake-asr"} 0.0',
        'antiphon_engine_jobs_total{model="fake-tts",outcome="completed"} 1.0',
        'antiphon_engine_queued{model="fake-tts"} 0.0',
        'antiphon_engine_wait_seconds_count{model="fake-tts"} 1.0',
    ):
        assert line in lines
    assert any(line.startswith("process_resident_memory_bytes") for line in lines)


async def test_each_application_counts_for_itself(open_client: OpenClient) -> None:
    for _ in range(2):
        async with open_client() as client:
            await client.get("/healthz")
            assert 'antiphon_http_requests_total{method="GET",route="/healthz",status="200"} 1.0' in (
                (await client.get("/metrics")).text.splitlines()
            )


async def test_the_openapi_document_describes_bodies_and_errors(client: httpx.AsyncClient) -> None:
    response = await client.get("/openapi.json")
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert document["openapi"].startswith("3.1")
    transcription = document["paths"]["/v1/audio/transcriptions"]["post"]
    schemas = document["components"]["schemas"]
    form = transcription["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["file"]
    assert form["additionalProperties"] is False
    assert form["properties"]["response_format"]["enum"] == ["json", "srt", "text", "verbose_json", "vtt"]
    error = transcription["responses"]["400"]["content"]["application/json"]["schema"]["$ref"]
    assert error == "#/components/schemas/ErrorBody"
    speech = document["paths"]["/v1/audio/speech"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert speech == {"$ref": "#/components/schemas/SpeechRequest"}
    assert schemas["AudioFormat"]["enum"] == ["aac", "flac", "mp3", "opus", "pcm", "wav"]
    references = set(re.findall(r'"\$ref":\s*"([^"]*)"', response.text))
    assert references <= {f"#/components/schemas/{name}" for name in schemas}


async def test_the_documentation_page_lists_every_operation_and_loads_nothing(client: httpx.AsyncClient) -> None:
    response = await client.get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    document = (await client.get("/openapi.json")).json()
    for path in document["paths"]:
        assert f"<code>{path}</code>" in response.text
    assert "<script" not in response.text
    assert "https://" not in response.text
    assert "stream_format" in response.text


async def test_a_default_model_that_is_not_there_is_an_invalid_setting() -> None:
    with pytest.raises(SpeechError) as caught:
        create_app(Settings(models=ModelSettings(asr="nonesuch")))
    assert caught.value.code is ErrorCode.INVALID_SETTING
    assert "nonesuch" in caught.value.message
