from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from schemas.errors import ErrorCode

pytestmark = pytest.mark.anyio

ErrorOf = Callable[[httpx.Response, ErrorCode], dict[str, Any]]


async def test_linked_audio_is_the_file_that_was_asked_for(client: httpx.AsyncClient) -> None:
    arguments = {"text": "Hello there.", "format": "flac", "audio_as": "link"}
    result = (await client.post("/v1/tools/synthesize", json=arguments)).json()
    assert result["audio"] is None
    response = await client.get(f"/v1/audio/{result['audio_id']}")
    assert response.headers["content-type"] == "audio/flac"
    assert response.content.startswith(b"fLaC")


async def test_over_http_audio_is_base64_unless_a_link_is_asked_for(client: httpx.AsyncClient) -> None:
    result = (await client.post("/v1/tools/synthesize", json={"text": "Hello there."})).json()
    assert result["audio"]
    assert result["audio_id"] is None


async def test_audio_that_is_not_there_is_an_error(client: httpx.AsyncClient, error_of: ErrorOf) -> None:
    error_of(await client.get("/v1/audio/aud_nonesuch"), ErrorCode.AUDIO_EXPIRED)
