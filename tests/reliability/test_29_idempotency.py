"""Row 29: of 50 requests with one idempotency key one is done, and all get its answer; another body is 422."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import numpy as np
import pytest

from engines.codec.encoder import encode_all
from engines.fake import FakeBehaviour
from engines.tones import encode_word
from schemas.audio import AudioFormat
from schemas.principal import Scope

pytestmark = pytest.mark.anyio

KEY = {"Idempotency-Key": "b1946ac9"}
WAV = encode_all(np.concatenate([encode_word("hello", 16_000)] * 2), AudioFormat.WAV, 16_000)


async def jobs(client: httpx.AsyncClient, model: str) -> float:
    """How many jobs of an engine have ended, however."""
    start = f'antiphon_engine_jobs_total{{model="{model}"'
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(start))


async def in_parallel(times: int, request: Any) -> list[httpx.Response]:
    responses: list[httpx.Response] = []

    async def one() -> None:
        responses.append(await request())

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(times):
                tasks.start_soon(one)
    return responses


async def test_fifty_in_parallel_are_one_transcription(serving: Any, client: Any) -> None:
    async with serving(behaviour=FakeBehaviour()) as url, client(url) as caller:

        async def transcribe() -> httpx.Response:
            # Each with a boundary of its own, as clients do.
            return await caller.post("/v1/audio/transcriptions", files={"file": ("a.wav", WAV)}, headers=KEY)

        responses = await in_parallel(50, transcribe)
        assert {response.status_code for response in responses} == {200}
        assert len({response.content for response in responses}) == 1
        assert responses[0].json()["text"]
        assert await jobs(caller, "fake-asr") == 1
        assert len({response.headers["x-request-id"] for response in responses}) == 50
        assert sum("idempotent-replayed" in response.headers for response in responses) == 49
        assert (await transcribe()).content == responses[0].content


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/audio/speech", {"input": "Hello there."}),
        ("/v1/audio/speech", {"input": "Hello there.", "stream_format": "sse"}),
        ("/v1/tools/synthesize", {"text": "Hello there."}),
    ],
)
async def test_what_is_streamed_is_answered_the_same_again(serving: Any, client: Any, path: str, body: Any) -> None:
    async with serving() as url, client(url) as caller:
        responses = await in_parallel(5, lambda: caller.post(path, json=body, headers=KEY))
        assert {response.status_code for response in responses} == {200}
        assert len({response.content for response in responses}) == 1
        assert len({response.headers["content-type"] for response in responses}) == 1
        assert await jobs(caller, "fake-tts") == 1


async def test_one_key_opens_one_session(serving: Any, client: Any) -> None:
    async with serving() as url, client(url) as caller:
        responses = await in_parallel(10, lambda: caller.post("/v1/sessions", json={}, headers=KEY))
        assert len({response.json()["session_id"] for response in responses}) == 1
        assert len({response.headers["location"] for response in responses}) == 1
        assert "antiphon_sessions_open 1.0" in (await caller.get("/metrics")).text


async def test_a_key_that_comes_with_another_request_is_refused(serving: Any, client: Any) -> None:
    async with serving() as url, client(url) as caller:
        path, body = "/v1/audio/speech", {"input": "Hello."}
        assert (await caller.post(path, json=body, headers=KEY)).status_code == 200
        for other, accept in (({"input": "Bye."}, "*/*"), (body, "text/event-stream")):
            refused = await caller.post(path, json=other, headers={**KEY, "Accept": accept})
            assert (refused.status_code, refused.json()["error"]["code"]) == (422, "idempotency_mismatch")
        elsewhere = await caller.post("/v1/tools/synthesize", json={"text": "Bye."}, headers=KEY)
        assert elsewhere.status_code == 200  # another operation, another request
        too_long = await caller.post(path, json=body, headers={"Idempotency-Key": "x" * 256})
        assert (too_long.status_code, too_long.json()["error"]["param"]) == (400, "Idempotency-Key")


async def test_a_refusal_is_repeated_and_what_may_yet_succeed_is_tried_again(serving: Any, client: Any) -> None:
    behaviour = FakeBehaviour()
    async with serving(behaviour=behaviour) as url, client(url) as caller:
        refused = [await caller.post("/v1/sessions", json={"voice": "nobody"}, headers=KEY) for _ in range(2)]
        assert [response.status_code for response in refused] == [404, 404]
        assert "idempotent-replayed" in refused[1].headers

        busy = {"Idempotency-Key": "busy"}
        say = {"input": "Hello."}
        behaviour.failure = RuntimeError("broken for now")
        assert (await caller.post("/v1/audio/speech", json=say, headers=busy)).status_code == 500
        behaviour.failure = None
        again = await caller.post("/v1/audio/speech", json=say, headers=busy)
        assert again.status_code == 200
        assert "idempotent-replayed" not in again.headers


async def test_a_key_is_each_callers_own(serving: Any, keys: Any, client: Any) -> None:
    a, b = keys.headers("a", Scope.SESSIONS), keys.headers("b", Scope.SESSIONS)
    async with serving(keys.settings) as url, client(url, {**a, **KEY}) as ours, client(url, {**b, **KEY}) as theirs:
        first, second = [await caller.post("/v1/sessions", json={}) for caller in (ours, theirs)]
        assert first.json()["session_id"] != second.json()["session_id"]
