"""Row 15: what one caller may use is bounded, with 429 and Retry-After; the server's own bounds are 503."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import anyio
import httpx
import numpy as np
import pytest
from msgspec.structs import replace
from websockets.asyncio.client import connect

from engines.codec.encoder import encode_all
from engines.fake import FakeBehaviour, fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from engines.tones import encode_word
from schemas.audio import AudioFormat
from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Principal, Quotas, Scope
from schemas.sessions import SessionSettings
from server.settings import LimitSettings
from session.clock import FakeClock
from session.limits import SessionLimits
from session.manager import SessionManager
from session.own_sessions import OwnSessions
from session.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

WAV = encode_all(np.concatenate([encode_word("hello", 16_000)] * 4), AudioFormat.WAV, 16_000)


def check_refusal(response: httpx.Response, status: int, code: str) -> None:
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["retryable"]) == (status, code, True), error
    assert float(response.headers["retry-after"]) >= error["retry_after_s"] > 0


async def test_the_quota_of_a_key_is_429_and_the_bound_of_the_server_503(serving: Any, keys: Any, client: Any) -> None:
    a, b = keys.headers("a", quotas=Quotas(sessions=2)), keys.headers("b")
    settings = replace(keys.settings, limits=LimitSettings(max_sessions=3))
    async with serving(settings) as url, client(url, a) as limited, client(url, b) as other:
        for _ in range(2):
            assert (await limited.post("/v1/sessions", json={})).status_code == 201
        check_refusal(await limited.post("/v1/sessions", json={}), 429, "quota_exceeded")
        check_refusal(await limited.post("/v1/tools/open_session", json={}), 429, "quota_exceeded")
        assert (await other.post("/v1/sessions", json={})).status_code == 201
        check_refusal(await other.post("/v1/sessions", json={}), 503, "too_many_sessions")


async def test_requests_and_streams_of_a_key_are_counted_together(serving: Any, keys: Any, client: Any) -> None:
    headers = keys.headers("a", quotas=Quotas(concurrent_requests=2))
    async with serving(keys.settings) as url, client(url, headers) as known:
        session_id = (await known.post("/v1/sessions", json={})).json()["session_id"]
        path = f"/v1/sessions/{session_id}"
        async with (
            known.stream("GET", f"{path}/events") as events,
            connect(f"{url.replace('http', 'ws')}{path}/stream", additional_headers=headers),
        ):
            assert events.status_code == 200
            check_refusal(await known.get(path), 429, "quota_exceeded")
        with anyio.fail_after(10):
            while (await known.get(path)).status_code == 429:
                pass  # the server has yet to notice that they are gone


async def test_a_rate_is_a_number_of_requests_at_once(serving: Any, keys: Any, client: Any) -> None:
    headers = keys.headers("a", quotas=Quotas(requests_per_min=5))
    async with serving(keys.settings) as url, client(url, headers) as known:
        statuses = [(await known.get("/v1/tools")).status_code for _ in range(7)]
        assert statuses == [200] * 5 + [429] * 2
        check_refusal(await known.get("/v1/tools"), 429, "quota_exceeded")
        assert (await known.get("/healthz")).status_code == 200


@pytest.mark.parametrize("way", ["transcriptions", "speech", "tool", "session"])
async def test_audio_is_counted_in_seconds_on_every_way(serving: Any, keys: Any, client: Any, way: str) -> None:
    headers = keys.headers("a", quotas=Quotas(audio_s_per_hour=0.5))

    async def use(known: httpx.AsyncClient) -> httpx.Response:
        match way:
            case "transcriptions":
                return await known.post("/v1/audio/transcriptions", files={"file": ("a.wav", WAV)})
            case "speech":
                return await known.post("/v1/audio/speech", json={"input": "Hello there, all of you."})
            case "tool":
                return await known.post("/v1/tools/synthesize", json={"text": "Hello there, all of you."})
            case _:
                session_id = (await known.post("/v1/sessions", json={})).json()["session_id"]
                return await known.post(
                    f"/v1/sessions/{session_id}/audio", content=bytes(9_600), headers={"Content-Type": "audio/pcm"}
                )

    async with serving(keys.settings) as url, client(url, headers) as known:
        assert (await use(known)).status_code == 200
        await use(known)
        check_refusal(await use(known), 429, "quota_exceeded")


async def test_a_microphone_beyond_its_quota_is_told_by_the_close_code(serving: Any, keys: Any, client: Any) -> None:
    headers = keys.headers("a", quotas=Quotas(audio_s_per_hour=0.5))
    async with serving(keys.settings) as url, client(url, headers) as known:
        session_id = (await known.post("/v1/sessions", json={})).json()["session_id"]
        address = f"{url.replace('http', 'ws')}/v1/sessions/{session_id}/stream"
        with anyio.fail_after(10):
            async with connect(address, additional_headers=headers) as socket:
                for _ in range(2):
                    await socket.send(bytes(32_000))
                await socket.wait_closed()
        assert socket.close_code == 4429


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux' /proc")
async def test_ten_thousand_sessions_by_one_tenant_are_refused_and_leave_nothing() -> None:
    clock = FakeClock()
    flood = Principal(tenant="flood", subject="key:1", scopes=frozenset(Scope), quotas=Quotas(sessions=20))

    def resident_bytes() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4_096

    async with EngineHost(fake_engines(FakeBehaviour()), HostSettings()) as host:
        limits = SessionLimits(max_sessions=64, idle_timeout_s=60)
        async with SessionManager(host, MemoryStore(), limits, clock) as manager:
            sessions = OwnSessions(manager, flood)
            refusals: set[ErrorCode] = set()

            async def attempt(times: int) -> int:
                opened = 0
                for _ in range(times):
                    try:
                        await sessions.open(SessionSettings())
                    except SpeechError as error:
                        refusals.add(error.code)
                    else:
                        opened += 1
                return opened

            async def let_expire() -> None:
                with anyio.fail_after(20):
                    while manager.live_count:
                        await anyio.wait_all_tasks_blocked()
                        clock.advance(15)

            assert await attempt(100) == 20
            await let_expire()
            before_bytes = resident_bytes()
            assert await attempt(10_000) == 20
            assert manager.live_count == 20
            await let_expire()
            assert resident_bytes() <= before_bytes * 1.05
            assert await attempt(1) == 1
            assert refusals == {ErrorCode.QUOTA_EXCEEDED}
