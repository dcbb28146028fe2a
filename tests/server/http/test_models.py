from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import httpx
import pytest
from anyio import to_thread

from engines.fake import FakeBehaviour
from schemas.errors import ErrorCode

pytestmark = pytest.mark.anyio


async def test_models_are_listed_as_openai_does_with_their_state(client: httpx.AsyncClient) -> None:
    body = (await client.get("/v1/models")).json()
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["fake-asr", "fake-tts", "fake-vad", "fake-turn"]
    assert body["data"][0] == {
        "id": "fake-asr",
        "object": "model",
        "created": 0,
        "owned_by": "fake",
        "kind": "asr",
        "engine": "fake",
        "title": "Understands the fake voice",
        "languages": ["en", "de", "fr", "ja"],
        "licence": "Apache-2.0",
        "installed": True,
        "loaded": False,
        "resident_bytes": 0,
        "default": True,
        "aliases": [
            "whisper-1",
            "gpt-transcribe",
            "gpt-4o-transcribe",
            "gpt-4o-mini-transcribe",
            "gpt-4o-mini-transcribe-2025-12-15",
            "gpt-4o-transcribe-diarize",
        ],
    }
    assert [model["aliases"] for model in body["data"][2:]] == [[], []]


@pytest.mark.parametrize(("name", "model"), [("whisper-1", "fake-asr"), ("tts-1-hd", "fake-tts")])
async def test_a_name_of_openai_finds_the_model_that_it_means(client: httpx.AsyncClient, name: str, model: str) -> None:
    assert (await client.get(f"/v1/models/{name}")).json()["id"] == model
    assert (await client.post(f"/v1/models/{name}/unload")).json()["id"] == model


async def test_a_model_is_loaded_by_its_first_use(client: httpx.AsyncClient) -> None:
    await client.post("/v1/audio/speech", json={"input": "Hi."})
    assert (await client.get("/v1/models/fake-tts")).json()["loaded"] is True
    assert (await client.get("/v1/models/fake-asr")).json()["loaded"] is False


async def test_an_unknown_model_is_not_found(
    client: httpx.AsyncClient, error_of: Callable[[httpx.Response, ErrorCode], dict[str, Any]]
) -> None:
    error = error_of(await client.get("/v1/models/nonesuch"), ErrorCode.UNKNOWN_MODEL)
    assert "fake-asr" in error["message"]


async def test_a_models_memory_is_freed_on_request_and_it_is_loaded_again_when_used(client: httpx.AsyncClient) -> None:
    for text in ("Hi.", "Something else."):
        await client.post("/v1/audio/speech", json={"input": text})
        assert (await client.get("/v1/models/fake-tts")).json()["loaded"] is True
        response = await client.post("/v1/models/fake-tts/unload")
        assert (response.status_code, response.json()["loaded"]) == (200, False)
    assert (await client.post("/v1/models/fake-tts/unload")).status_code == 200, "it was not loaded"


async def test_a_model_at_work_keeps_its_memory(
    open_client: Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]],
    error_of: Callable[[httpx.Response, ErrorCode], dict[str, Any]],
) -> None:
    behaviour = FakeBehaviour()
    behaviour.hang()
    with anyio.fail_after(20):
        async with open_client(behaviour=behaviour) as client, anyio.create_task_group() as tasks:

            async def speak() -> None:
                response = await client.post(
                    "/v1/audio/speech", json={"input": "Other words.", "response_format": "pcm"}
                )
                assert response.status_code == 200

            tasks.start_soon(speak)
            assert await to_thread.run_sync(behaviour.called.wait, 10.0)
            error_of(await client.post("/v1/models/fake-tts/unload"), ErrorCode.OVERLOADED)
            behaviour.go_on()


async def test_an_unknown_model_cannot_be_unloaded(
    client: httpx.AsyncClient, error_of: Callable[[httpx.Response, ErrorCode], dict[str, Any]]
) -> None:
    error_of(await client.post("/v1/models/nonesuch/unload"), ErrorCode.UNKNOWN_MODEL)
