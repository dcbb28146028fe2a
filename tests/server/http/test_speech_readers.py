from __future__ import annotations

import anyio
import httpx
import pytest

pytestmark = pytest.mark.anyio


async def test_clients_who_stop_reading_leave_the_workers_to_the_others(live: httpx.AsyncClient) -> None:
    # More audio than the sockets' buffers hold.
    endless = {"input": "interminable " * 1_500, "response_format": "pcm"}
    with anyio.fail_after(60):
        async with (
            live.stream("POST", "/v1/audio/speech", json=endless) as one,
            live.stream("POST", "/v1/audio/speech", json=endless) as two,
        ):
            assert (one.status_code, two.status_code) == (200, 200)
            while 'antiphon_engine_parked{model="fake-tts"} 2.0' not in (await live.get("/metrics")).text:
                pass
            response = await live.post("/v1/audio/speech", json={"input": "Hi.", "response_format": "pcm"})
            assert len(response.content) > 1_000
        left = 'antiphon_engine_jobs_total{model="fake-tts",outcome="cancelled"} 2.0'
        while left not in (await live.get("/metrics")).text:
            pass
