"""Every broken file through every way in: a typed answer, the same process, nothing of the server's inside shown."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from websockets.sync.client import connect

from engines.codec.encoder import encode_all
from schemas.audio import AudioFormat
from schemas.errors import ErrorCode

pytestmark = pytest.mark.flow

LEAKS = ("Traceback", "/root/", "/home/", "site-packages", ".py", "av.error", "Errno")
WAYS_IN = ("transcriptions", "translations", "transcribe", "detect_language", "session")


@pytest.fixture(scope="module")
def server(serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Generator[Any]:
    """Decoding is real; what is decoded goes to fake engines, which are quick."""
    with serve(tmp_path_factory.mktemp("server"), "--fake-engines") as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Any) -> Generator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def malformed(speech_dir: Path) -> list[Path]:
    files = [path for path in sorted((speech_dir / "malformed").iterdir()) if path.suffix != ".jsonl"]
    assert len(files) > 20
    return files


def send(client: httpx.Client, way_in: str, data: bytes, name: str) -> httpx.Response:
    match way_in:
        case "transcriptions" | "translations":
            return client.post(f"/v1/audio/{way_in}", files={"file": (name, data)}, data={"model": "whisper-1"})
        case "session":
            session_id = client.post("/v1/sessions", json={}).json()["session_id"]
            response = client.post(
                f"/v1/sessions/{session_id}/audio", content=data, headers={"Content-Type": "audio/wav"}
            )
            assert client.delete(f"/v1/sessions/{session_id}").status_code == 200
            return response
        case _:
            return client.post(f"/v1/tools/{way_in}", json={"audio": base64.b64encode(data).decode()})


def check(response: httpx.Response, what: str) -> None:
    assert response.status_code < 500, (what, response.text)
    if response.status_code >= 400:
        error = response.json()["error"]
        assert error["code"] in set(ErrorCode), (what, error)
        assert error["code"] != ErrorCode.INTERNAL
        assert not [leak for leak in LEAKS if leak in error["message"]], (what, error)


@pytest.mark.parametrize("way_in", WAYS_IN)
def test_a_malformed_file_gets_a_typed_answer_and_harms_nothing(
    way_in: str, server: Any, client: httpx.Client, malformed: list[Path]
) -> None:
    refused = 0
    for path in malformed:
        response = send(client, way_in, path.read_bytes(), path.name)
        check(response, f"{path.name} by {way_in}")
        refused += response.status_code >= 400
    assert refused >= 5
    assert server.process.poll() is None
    assert client.get("/healthz").status_code == 200


def wav(seconds: float, rate_hz: int = 16_000) -> bytes:
    import numpy as np  # noqa: PLC0415

    return encode_all(np.zeros(int(seconds * rate_hz), np.float32), AudioFormat.WAV, rate_hz)


def lying_wav(**claims: int) -> bytes:
    """A WAV header with false numbers in front of a second of silence."""
    fields = {"riff_bytes": 36, "channels": 1, "rate_hz": 16_000, "bits": 16, "data_bytes": 32_000} | claims
    return (
        b"RIFF"
        + fields["riff_bytes"].to_bytes(4, "little")
        + b"WAVEfmt \x10\0\0\0\1\0"
        + fields["channels"].to_bytes(2, "little")
        + fields["rate_hz"].to_bytes(4, "little")
        + b"\0\x7d\0\0\2\0"
        + fields["bits"].to_bytes(2, "little")
        + b"data"
        + fields["data_bytes"].to_bytes(4, "little")
        + bytes(32_000)
    )


@pytest.mark.parametrize("way_in", WAYS_IN)
@pytest.mark.parametrize(
    ("data", "codes"),
    [
        pytest.param(b"", {ErrorCode.EMPTY_AUDIO, ErrorCode.INVALID_REQUEST}, id="empty"),
        pytest.param(wav(0), {ErrorCode.NO_AUDIO}, id="no samples"),
        pytest.param(b"<html>not audio</html>", {ErrorCode.UNSUPPORTED_FORMAT}, id="html"),
        pytest.param(bytes(4_096), {ErrorCode.UNSUPPORTED_FORMAT}, id="zeros"),
        pytest.param(lying_wav(rate_hz=2**31), {ErrorCode.INVALID_AUDIO}, id="2 GHz"),
        pytest.param(lying_wav(rate_hz=0), {ErrorCode.INVALID_AUDIO}, id="0 Hz"),
        pytest.param(lying_wav(channels=65_535), {ErrorCode.INVALID_AUDIO}, id="65535 channels"),
        pytest.param(lying_wav(channels=0), {ErrorCode.INVALID_AUDIO}, id="0 channels"),
    ],
)
def test_bad_audio_is_named(way_in: str, data: bytes, codes: set[ErrorCode], client: httpx.Client) -> None:
    response = send(client, way_in, data, "upload.wav")
    check(response, way_in)
    assert response.json()["error"]["code"] in codes, response.text


def test_bytes_of_broken_files_do_a_stream_no_harm(server: Any, client: httpx.Client, malformed: list[Path]) -> None:
    """To the WebSocket they are noise of an odd length, and of an even one."""
    session_id = client.post("/v1/sessions", json={}).json()["session_id"]
    address = f"{server.url.replace('http', 'ws')}/v1/sessions/{session_id}/stream"
    with connect(address) as socket:
        for path in malformed:
            data = path.read_bytes()[:65_537]
            socket.send(data if len(data) % 2 else data[:-1])
            socket.send(data[: len(data) // 2 * 2])
        socket.send('{"type": "close"}')
        events = [msgspec.json.decode(message) for message in socket if isinstance(message, str)]
    refused = [event["error"]["code"] for event in events if event["type"] == "error"]
    assert refused == [ErrorCode.INVALID_AUDIO] * len(malformed)
    assert events[-1]["type"] == "session.closed"
    assert events[-1]["reason"] == "client"
    assert server.process.poll() is None


@pytest.mark.real
def test_the_command_line_says_of_each_file_what_is_wrong_with_it(malformed: list[Path]) -> None:
    command = [sys.executable, "-m", "server", "transcribe", "--model", "whisper-tiny.en", "--json"]
    done = subprocess.run([*command, *map(str, malformed)], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    lines = [msgspec.json.decode(line) for line in done.stdout.splitlines()]
    assert [line["file"] for line in lines] == [str(path) for path in malformed]
    errors = [line["error"] for line in lines if "error" in line]
    assert len(errors) >= 5
    assert {error["code"] for error in errors} <= {code.value for code in ErrorCode} - {ErrorCode.INTERNAL.value}
    assert not [error for error in errors for leak in LEAKS if leak in error["message"]]
