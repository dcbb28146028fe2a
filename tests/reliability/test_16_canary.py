"""Row 16: what is said, and the key by which it came, are in no log line and no metric unless somebody asks for it."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

import anyio
import numpy as np
import pytest
import structlog
from websockets.asyncio.client import connect

from engines.codec.encoder import encode_all
from engines.fake import FakeBehaviour
from engines.tones import encode_word
from schemas.audio import SESSION_RATE_HZ, AudioFormat, pcm16_from_float
from server.logs import configure_logs
from server.settings import LogSettings

pytestmark = pytest.mark.anyio

CANARY = "xylophone"
SAMPLES = np.concatenate([encode_word(word, SESSION_RATE_HZ) for word in (CANARY, "speaks.")])
SPEECH = np.concatenate([SAMPLES, np.zeros(SESSION_RATE_HZ, np.float32)])


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Literal["console", "json"]], io.StringIO]]:
    """What the process logs as ``antiphon serve`` does, from the lowest level of the server up."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def begin(form: Literal["console", "json"]) -> io.StringIO:
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        configure_logs(LogSettings(level="info", format=form))
        return stream

    yield begin
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["console", "json"])
async def test_neither_phrase_nor_key_is_logged_or_measured(
    serving: Any, keys: Any, client: Any, logged: Any, form: Literal["console", "json"]
) -> None:
    headers = keys.headers("a")
    key = headers["Authorization"].removeprefix("Bearer ")
    behaviour = FakeBehaviour()
    seen: list[str] = []
    log = logged(form)
    async with serving(keys.settings, behaviour=behaviour) as url, client(url, headers) as known:
        wav = encode_all(SAMPLES, AudioFormat.WAV, SESSION_RATE_HZ)
        upload = {"file": (f"{CANARY}.wav", wav)}
        seen.append((await known.post("/v1/audio/transcriptions", files=upload, data={"prompt": CANARY})).text)
        await known.post("/v1/audio/speech", json={"input": f"The {CANARY} speaks."})
        await known.post(f"/v1/audio/speech?secret={CANARY}", json={"input": CANARY, "voice": CANARY})
        await known.get(f"/v1/sessions/{CANARY}", headers={"Authorization": f"Bearer {key}x"})
        await known.get(f"/{CANARY}?key={key}")

        session_id = (await known.post("/v1/sessions", json={"prompt": CANARY})).json()["session_id"]
        path = f"/v1/sessions/{session_id}"
        subprotocols: Any = ["antiphon.v1", f"antiphon.bearer.{key}"]
        with anyio.fail_after(10):
            async with connect(f"{url.replace('http', 'ws')}{path}/stream", subprotocols=subprotocols) as socket:
                await socket.send(pcm16_from_float(SPEECH))
                while json.loads(event := str(await socket.recv()))["type"] != "turn.ended":
                    pass
                seen.append(event)
                await socket.send(json.dumps({"type": "say", "text": f"I heard {CANARY}."}))
                await socket.send(json.dumps({"type": CANARY}))
                await socket.send(json.dumps({"type": "close"}))
                await socket.wait_closed()

        # An engine that fails with what it was given in its hands.
        behaviour.failure = RuntimeError("broken")
        assert (await known.post("/v1/audio/transcriptions", files=upload)).status_code == 500
        assert (await known.post("/v1/audio/speech", json={"input": f"{CANARY} anew."})).status_code == 500
        metrics = (await known.get("/metrics")).text
    assert all(CANARY in text for text in seen)  # it was heard

    text = log.getvalue()
    assert "turn_ended" in text
    assert "broken" in text  # the traceback is there, without the values in it
    secret = key.split("_", 2)[2]
    for where, content in (("log", text), ("metrics", metrics)):
        assert CANARY not in content.lower(), where
        assert secret not in content, where
