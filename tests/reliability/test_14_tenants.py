"""Row 14: what belongs to another tenant gives the same 404 as what does not exist, on every route."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.anyio

NO_SESSION = "ses_AAAAAAAAAAAAAAAAAAAAAA"
TOOLS = ("listen", "say", "stop_speaking", "get_conversation", "close_session")


async def ask(client: httpx.AsyncClient, session_id: str) -> dict[str, tuple[int, str]]:
    """Every operation that takes a session's id, by what it answers but for the ids in it."""
    document = (await client.get("/openapi.json")).json()
    answers: dict[str, httpx.Response] = {}
    for path, item in document["paths"].items():
        if "{session_id}" not in path:
            continue
        for method in item:
            # Ids of items and the like are of no account before the session is known.
            url = re.sub(r"\{\w+\}", "item_1", path.replace("{session_id}", session_id))
            body = {"item_id": "item_1", "played_ms": 0}
            answers[f"{method} {path}"] = await client.request(method, url, json=body)
            if path.endswith("/audio"):
                pcm = {"Content-Type": "audio/pcm"}
                answers[f"{method} {path} PCM"] = await client.request(method, url, content=bytes(640), headers=pcm)
    for tool in TOOLS:
        arguments = {"session_id": session_id} | ({"text": "Hello."} if tool == "say" else {})
        answers[tool] = await client.post(f"/v1/tools/{tool}", json=arguments)
    return {
        name: (
            answer.status_code,
            answer.text.replace(session_id, "ID").replace(answer.headers["x-request-id"], "REQUEST"),
        )
        for name, answer in answers.items()
    }


@pytest.mark.parametrize("closed", [False, True])
async def test_sessions_of_another_tenant_look_unknown(serving: Any, keys: Any, client: Any, *, closed: bool) -> None:
    a, b = keys.headers("a"), keys.headers("b")
    async with serving(keys.settings) as url, client(url, a) as ours, client(url, b) as theirs:
        session_id = (await ours.post("/v1/sessions", json={})).json()["session_id"]
        if closed:
            await ours.delete(f"/v1/sessions/{session_id}")
        foreign, unknown = await ask(theirs, session_id), await ask(theirs, NO_SESSION)
        assert len(foreign) >= 12
        for operation, (status, text) in foreign.items():
            assert status == 404, (operation, text)
            assert '"unknown_session"' in text, operation
        assert foreign == unknown

        endings: list[tuple[int, str]] = []
        for asked in (session_id, NO_SESSION):
            with pytest.raises(ConnectionClosed) as caught:
                async with connect(
                    f"{url.replace('http', 'ws')}/v1/sessions/{asked}/stream", additional_headers=b
                ) as socket:
                    await socket.recv()
            close = caught.value.rcvd
            assert close is not None
            endings.append((close.code, close.reason.replace(asked, "ID")))
        assert endings[0] == endings[1]
        assert endings[0][0] == 4404

        info = (await ours.get(f"/v1/sessions/{session_id}")).json()
        assert info["state"] == ("closed" if closed else "open")  # nobody else could close it
