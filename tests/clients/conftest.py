"""Fixtures of the tests with clients in an environment of their own. Elsewhere they are not collected."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

collect_ignore_glob = [] if find_spec("pipecat") else ["test_*.py"]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
WARM_UP_S = 120


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the API of a server with real models, which must end well when it is told to."""
    folder = tmp_path_factory.mktemp("server")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANTIPHON_SERVER_")}
    environment |= {"ANTIPHON_STORE_PATH": str(folder / "sessions.db"), "PYTHONUNBUFFERED": "1"}
    command = [os.environ["ANTIPHON_COMMAND"], "serve", "--port", "0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    assert process.stdout is not None
    try:
        match = re.search(r"listens on (http://\S+?)\. ", process.stdout.readline())
        assert match is not None, (folder / "log").read_text("utf-8")
        warm_up(f"{match[1]}/v1")
        yield f"{match[1]}/v1"
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=60)
        process.stdout.close()
    assert status == 0, (folder / "log").read_text("utf-8")


def warm_up(url: str) -> None:
    """Both models are loaded once these are answered: clients are less patient than that takes."""
    body = b'{"input": "Hello.", "response_format": "wav"}'
    request = urllib.request.Request(f"{url}/audio/speech", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=WARM_UP_S) as response:
        recording = response.read()
    form = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + recording + b"\r\n--x--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    request = urllib.request.Request(f"{url}/audio/transcriptions", form, headers)
    with urllib.request.urlopen(request, timeout=WARM_UP_S) as response:
        response.read()


@pytest.fixture(scope="session")
def spoken() -> tuple[bytes, int]:
    """A recording of “He might even have been made amiable himself.”: 16-bit PCM, mono, and its rate."""
    import soundfile  # noqa: PLC0415 (in the clients' environment alone)

    samples: Any
    samples, rate_hz = soundfile.read(EXAMPLES / "made-amiable.flac", dtype="int16")
    return samples.tobytes(), rate_hz


@pytest.fixture(scope="session")
def said() -> str:
    return "he might even have been made amiable himself"


@pytest.fixture(scope="session")
def words() -> Callable[[str], str]:
    """A text without case and punctuation."""
    return lambda text: " ".join(re.findall(r"\w+", text.lower()))
