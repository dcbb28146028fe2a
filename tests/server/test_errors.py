from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from litestar.exceptions import ClientException, HTTPException, ValidationException

from engines.fake import FakeBehaviour, fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from schemas.errors import ERRORS, ErrorCode, SpeechError
from server.errors import error_body, error_headers, error_responses, speech_error_from


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_a_body_and_headers(code: ErrorCode) -> None:
    error = SpeechError(code, "Because.", param="field", retry_after_s=1.2)
    detail = error_body(error, "id").error
    assert (detail.code, detail.message, detail.param, detail.request_id) == (code, "Because.", "field", "id")
    assert detail.retryable is ERRORS[code].retryable
    assert error_headers(error) == {"x-should-retry": str(error.retryable).lower(), "Retry-After": "2"}


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (SpeechError(ErrorCode.NO_AUDIO, "Silent."), ErrorCode.NO_AUDIO, "Silent."),
        (HTTPException(status_code=404), ErrorCode.NOT_FOUND, "There is no /here here. See /docs for what there is."),
        (HTTPException(status_code=405), ErrorCode.METHOD_NOT_ALLOWED, "/here does not take PUT."),
        (HTTPException(status_code=413), ErrorCode.BODY_TOO_LARGE, "The body is larger than this server takes."),
        (ClientException("Odd."), ErrorCode.INVALID_REQUEST, "Odd."),
        (ValidationException("Odd."), ErrorCode.INVALID_REQUEST, "Odd."),
        (
            ValidationException("Odd.", extra=[{"key": "after_seq", "message": "Expected `int`", "source": "query"}]),
            ErrorCode.INVALID_REQUEST,
            "after_seq: Expected `int`.",
        ),
        (HTTPException("secret", status_code=500), ErrorCode.INTERNAL, "Something failed inside the server."),
        (HTTPException("secret", status_code=418), ErrorCode.INTERNAL, "Something failed inside the server."),
        (KeyError("secret"), ErrorCode.INTERNAL, "Something failed inside the server."),
    ],
)
def test_every_exception_becomes_a_typed_error(error: Exception, code: ErrorCode, message: str) -> None:
    seen = speech_error_from(error, method="PUT", path="/here")
    assert seen.code is code
    assert seen.message.startswith(message)
    assert "secret" not in seen.message


def test_the_parameter_at_fault_is_named() -> None:
    error = ValidationException("Odd.", extra=[{"key": "after_seq", "message": "Expected `int`", "source": "query"}])
    assert speech_error_from(error, method="GET", path="/").param == "after_seq"


def test_the_openapi_document_names_the_codes_of_a_status() -> None:
    responses = error_responses(413, 500)
    assert responses[413].description == "Codes: body_too_large, audio_too_long, text_too_long"
    assert responses[500].description == "Codes: engine_failed, internal"


@pytest.mark.anyio
async def test_a_full_queue_says_when_to_come_back(
    open_client: Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]],
    error_of: Callable[[httpx.Response, ErrorCode], dict[str, Any]],
) -> None:
    behaviour = FakeBehaviour()
    behaviour.hang()
    host = EngineHost(fake_engines(behaviour), HostSettings(max_queued=1, grace_s=1.0))
    speech = {"input": "Hi.", "response_format": "pcm"}
    with anyio.fail_after(20):
        async with open_client(host=host) as client, anyio.create_task_group() as tasks:

            async def speak() -> None:
                assert (await client.post("/v1/audio/speech", json=speech)).status_code == 200

            for running, queued in ((1, 0), (2, 0), (2, 1)):
                tasks.start_soon(speak)
                while (host.stats()[1].running, host.stats()[1].queued) != (running, queued):
                    await anyio.lowlevel.checkpoint()
            response = await client.post("/v1/audio/speech", json=speech)
            error = error_of(response, ErrorCode.OVERLOADED)
            assert int(response.headers["retry-after"]) >= error["retry_after_s"] > 0
            behaviour.go_on()
