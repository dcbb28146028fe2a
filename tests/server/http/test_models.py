from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

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
    }


async def test_a_model_is_loaded_by_its_first_use(client: httpx.AsyncClient) -> None:
    await client.post("/v1/audio/speech", json={"input": "Hi."})
    assert (await client.get("/v1/models/fake-tts")).json()["loaded"] is True
    assert (await client.get("/v1/models/fake-asr")).json()["loaded"] is False


async def test_an_unknown_model_is_not_found(
    client: httpx.AsyncClient, error_of: Callable[[httpx.Response, ErrorCode], dict[str, Any]]
) -> None:
    error = error_of(await client.get("/v1/models/nonesuch"), ErrorCode.UNKNOWN_MODEL)
    assert "fake-asr" in error["message"]
