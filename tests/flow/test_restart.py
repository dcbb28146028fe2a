"""What a session was survives the death of its server."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import stamina

from engines.tones import encode_word
from schemas.audio import SESSION_RATE_HZ, pcm16_from_float

pytestmark = pytest.mark.flow

SPEECH = pcm16_from_float(np.concatenate([encode_word(word, SESSION_RATE_HZ) for word in ("Remember", "this.")]))
SILENCE = bytes(2 * SESSION_RATE_HZ)


def events_of(response: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def test_after_kill_9_the_history_is_there_and_a_client_resumes_where_it_was(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    before: list[dict[str, Any]] = []
    with serve(tmp_path, "--fake-engines") as server, httpx.Client(base_url=server.url, timeout=30) as client:
        session_id = client.post("/v1/sessions", json={}).json()["session_id"]
        url = f"/v1/sessions/{session_id}"
        client.post(f"{url}/audio", content=SPEECH + SILENCE, headers={"Content-Type": "audio/pcm"}).raise_for_status()
        with client.stream("GET", f"{url}/events") as response:
            for event in events_of(response):
                before.append(event)
                if event["type"] == "turn.ended":
                    break
        server.process.kill()
        server.wait_ended()

    with serve(tmp_path, "--fake-engines") as server, httpx.Client(base_url=server.url, timeout=30) as client:
        conversation = client.get(f"{url}/conversation").json()
        assert conversation["session"]["state"] == "interrupted"
        assert [item["text"] for item in conversation["items"]] == ["Remember this."]

        # The client had seen two events when the connection was lost.
        with client.stream("GET", f"{url}/events", headers={"Last-Event-ID": "2"}) as response:
            after = list(events_of(response))
        assert after[: len(before) - 2] == before[2:]
        assert [event["seq"] for event in after] == list(range(3, 3 + len(after)))
        assert (after[-1]["type"], after[-1]["reason"]) == ("session.closed", "server_stopped")

        last_event_id = str(after[-1]["seq"])
        assert client.get(f"{url}/events", headers={"Last-Event-ID": last_event_id}).status_code == 204
        refused = client.post("/v1/tools/say", json={"session_id": session_id, "text": "Are you there?"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "session_closed")


def test_a_server_that_is_told_to_stop_ends_its_streams_and_sessions(serve: Callable[..., Any], tmp_path: Path) -> None:
    with serve(tmp_path, "--fake-engines") as server, httpx.Client(base_url=server.url, timeout=30) as client:
        session_id = client.post("/v1/sessions", json={}).json()["session_id"]
        with client.stream("GET", f"/v1/sessions/{session_id}/events") as response:
            events = events_of(response)
            assert next(events)["type"] == "session.opened"
            server.process.terminate()
            (closed,) = events
        assert (closed["type"], closed["reason"]) == ("session.closed", "shutdown")
        assert server.wait_ended() == 0

    with serve(tmp_path, "--fake-engines") as server:
        response = httpx.get(f"{server.url}/v1/sessions/{session_id}/events", headers={"Last-Event-ID": "1"})
        assert list(events_of(response)) == [closed]


def test_a_server_that_is_told_to_stop_while_it_starts_ends(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    environment = {**os.environ, "ANTIPHON_STORE_PATH": str(path)}
    command = [sys.executable, "-m", "server", "serve", "--port", "0", "--fake-engines"]
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")  # for seconds the server gets no further than to its store
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            for attempt in stamina.retry_context(on=FileNotFoundError, timeout=60, attempts=None, wait_max=0.05):
                with attempt:
                    path.with_name("sessions.db.lock").stat()
            process.terminate()
            assert process.wait(timeout=60) == -signal.SIGTERM
