"""Every broken file through every way in: a typed answer, the same process, nothing of the server's inside shown."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

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


def test_the_command_line_names_what_is_wrong_with_a_file(malformed: list[Path]) -> None:
    broken = [path for path in malformed if path.name in {"ps_bad.wav", "az_missing_wav_header.wav"}]
    assert len(broken) == 2
    for path in broken:
        done = subprocess.run(
            [sys.executable, "-m", "server", "transcribe", str(path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 1
        assert "Traceback" not in done.stdout + done.stderr
        assert path.name in done.stdout + done.stderr
