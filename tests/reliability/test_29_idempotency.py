"""Row 29: of 50 requests with one idempotency key one is done, and all get its answer; another body is 422.

Over HTTP, and the same over the Model Context Protocol and the WebSocket.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, cast

import anyio
import httpx
import numpy as np
import pytest
from mcp.client.client import Client
from mcp_types import RequestParamsMeta
from websockets.asyncio.client import connect

from engines.codec.encoder import encode_all
from engines.fake import FakeBehaviour
from engines.tones import encode_word
from schemas.audio import AudioFormat
from schemas.principal import Scope
from server.http.idempotency import MAX_CUTS, form_pieces
from server.idempotency import Answer, Answers, KeyedRequest
from server.mcp.tools import ERROR_KEY, IDEMPOTENCY_KEY, REPLAYED_KEY

pytestmark = pytest.mark.anyio

KEY = {"Idempotency-Key": "b1946ac9"}
WAV = encode_all(np.concatenate([encode_word("hello", 16_000)] * 2), AudioFormat.WAV, 16_000)


async def jobs(client: httpx.AsyncClient, model: str) -> float:
    """How many jobs of an engine have ended, however."""
    start = f'antiphon_engine_jobs_total{{model="{model}"'
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(start))


async def in_parallel(times: int, request: Any) -> list[Any]:
    responses: list[Any] = []

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


def keyed(key: object) -> RequestParamsMeta:
    return cast("RequestParamsMeta", {IDEMPOTENCY_KEY: key})


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_fifty_calls_in_parallel_over_mcp_are_one(serving: Any, client: Any, mode: str) -> None:
    async with serving() as url, client(url) as caller, Client(f"{url}/mcp", mode=mode) as agent:

        async def speak(text: str = "Hello there.", key: object = "one") -> Any:
            return await agent.call_tool("synthesize", {"text": text}, meta=keyed(key))

        results = await in_parallel(50, speak)
        assert not any(result.is_error for result in results)
        assert len({result.structured_content["audio_id"] for result in results}) == 1
        assert len({result.content[0].text for result in results}) == 1
        assert sum(REPLAYED_KEY in (result.meta or {}) for result in results) == 49
        assert await jobs(caller, "fake-tts") == 1

        def code(result: Any) -> str:
            assert result.is_error
            return result.meta[ERROR_KEY]["code"]

        assert code(await speak("Bye.")) == "idempotency_mismatch"
        assert code(await speak(key="x" * 256)) == code(await speak(key=1)) == "invalid_request"
        assert not (await speak("Bye.", "another")).is_error
        assert await jobs(caller, "fake-tts") == 2


async def test_over_mcp_too_a_refusal_is_repeated_and_what_may_yet_succeed_is_tried_again(serving: Any) -> None:
    behaviour = FakeBehaviour()
    async with serving(behaviour=behaviour) as url, Client(f"{url}/mcp") as agent:
        for is_again in (False, True):
            refused = await agent.call_tool("open_session", {"voice": "nobody"}, meta=keyed("refused"))
            assert refused.is_error
            assert refused.meta is not None
            assert (REPLAYED_KEY in refused.meta) is is_again
        behaviour.failure = RuntimeError("broken for now")
        assert (await agent.call_tool("synthesize", {"text": "Hello."}, meta=keyed("busy"))).is_error
        behaviour.failure = None
        assert not (await agent.call_tool("synthesize", {"text": "Hello."}, meta=keyed("busy"))).is_error


async def test_what_is_said_again_after_a_connection_broke_is_spoken_once(serving: Any, client: Any) -> None:
    async with serving() as url, client(url) as caller:
        session_id = (await caller.post("/v1/sessions", json={})).json()["session_id"]
        address = f"{url.replace('http', 'ws')}/v1/sessions/{session_id}/stream"
        say = {"type": "say", "text": "Hello there.", "idempotency_key": "one"}
        events: list[dict[str, Any]] = []
        with anyio.fail_after(10):
            for _ in range(2):
                async with connect(address) as socket:
                    await socket.send(json.dumps(say))
                    await socket.send(json.dumps({**say, "text": "Bye."}))  # another request, by the same key
                    while True:
                        received = await socket.recv()
                        if isinstance(received, str) and (event := json.loads(received))["type"] == "error":
                            events.append(event)
                            break
        conversation = (await caller.get(f"/v1/sessions/{session_id}/conversation")).json()
    assert [event["error"]["code"] for event in events] == ["idempotency_mismatch"] * 2
    assert Counter(item["text"] for item in conversation["items"]) == {"Hello there.": 1}


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


async def test_only_the_boundaries_of_a_form_do_not_count(serving: Any, client: Any) -> None:
    async with serving() as url, client(url) as caller:

        async def statuses(key: str, *requests: tuple[str, bytes]) -> list[int]:
            return [
                (
                    await caller.post(
                        "/v1/audio/transcriptions",
                        content=body,
                        headers={"Idempotency-Key": key, "Content-Type": content_type},
                    )
                ).status_code
                for content_type, body in requests
            ]

        def form(boundary: str, field: bytes = b"x") -> tuple[str, bytes]:
            delimiter = b"--" + boundary.encode()
            head = b'\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
            return f"multipart/form-data; boundary={boundary}", delimiter + head + field + b"\r\n" + delimiter + b"--"

        assert await statuses("form", form("one"), form("two"), form("one", b"y")) == [400, 400, 422]
        # The letter stands in the body, too, and is a boundary only behind two hyphens.
        assert await statuses("letter", form("d"), form("e"), form("d", b"d"), form("d", b"dd")) == [400, 400, 422, 422]
        assert await statuses("no form", *(("text/plain; boundary=b", body) for body in (b"a--b", b"a"))) == [415, 422]


def test_a_body_of_nothing_but_boundaries_is_cut_a_few_times_only() -> None:
    few, many = b"--b" * MAX_CUTS, b"--b" * 1_000_000
    assert len(form_pieces(few, b"b")) == MAX_CUTS + 1
    assert form_pieces(many, b"b") == [many]


def test_who_keeps_many_answers_loses_their_own() -> None:
    answers = Answers(max_bytes=10_000)
    answer = Answer(fingerprint=b"", status=200, headers=(), body=bytes(1_000))  # 2 kB with what goes with it
    modest = (("modest", "key"), b"first")
    answers.keep(modest, answer)
    greedy = [(("greedy", f"key {number}"), b"key") for number in range(20)]
    for name in greedy:
        answers.keep(name, answer)
    assert answers.get(modest) == answer
    assert [name for name in greedy if answers.get(name)] == greedy[-4:]


def test_what_is_kept_of_a_request_does_not_grow_with_its_path() -> None:
    def name(path: str, key: str = "key") -> object:
        return KeyedRequest(("tenant", "caller"), path, key, b"").name

    assert len(str(name("/x" * 8_000))) < 300
    assert len({name("/a"), name("/b"), name("/a", "other"), name("/a/key", ""), name("/a")}) == 4
