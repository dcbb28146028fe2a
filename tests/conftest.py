"""Fixtures of the whole suite."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from hypothesis import settings as hypothesis_settings

# As in the server: by how many threads NumPy's products have, the last bits of Whisper's features differ, and with them
# some words of an engine that a test compares with a server. It is read when NumPy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from engines.models.catalog import Catalog
from engines.models.store import ModelStore, default_root
from schemas.audio import SESSION_RATE_HZ, Samples
from schemas.errors import SpeechError

if TYPE_CHECKING:
    from engines.host import EngineHost
    from session.clock import FakeClock
    from session.manager import SessionManager

# No deadline: a test fails by what it finds, not by how busy the machine is.
hypothesis_settings.register_profile("antiphon", deadline=None)
hypothesis_settings.load_profile("antiphon")

ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where processes share the suite, one has all that loads models or times a server; the rest goes by file."""
    if not config.pluginmanager.hasplugin("xdist"):  # as in the environments of test-coqui and test-clients
        return
    for item in items:
        is_alone = any(item.get_closest_marker(name) for name in ("real", "flow"))
        item.add_marker(pytest.mark.xdist_group("models and servers" if is_alone else item.nodeid.split("::")[0]))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class VirtualTime:
    """Time that stands still while a model is at work: however busy the machine is, models are never late."""

    def __init__(self, clock: FakeClock, host: EngineHost, sessions: SessionManager) -> None:
        self._clock = clock
        self._host = host
        self._sessions = sessions

    async def until(self, condition: Callable[[], bool], step_s: float) -> None:
        """Let it pass step by step until something is the case."""
        with anyio.fail_after(120):
            while not condition():
                await wait_all_tasks_blocked()
                if self._models_work():
                    await anyio.sleep(0.001)  # on threads of their own, which this lets run
                else:
                    self._clock.advance(step_s)

    def _models_work(self) -> bool:
        is_loading = any(slot._load is not None for slot in self._host._slots)
        is_asked = any(stats.queued or stats.busy_workers for stats in self._host.stats())
        return is_loading or is_asked or bool(self._sessions._voice_activity._requests)


@pytest.fixture(scope="session")
def new_virtual_time() -> type[VirtualTime]:
    """For tests that make their own clock, engines and sessions."""
    return VirtualTime


@pytest.fixture
def virtual_time(clock: FakeClock, host: EngineHost, sessions: SessionManager) -> VirtualTime:
    """That of a session manager over the fixtures of the folder."""
    return VirtualTime(clock, host, sessions)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


class Hit(NamedTuple):
    """A request that a :class:`WebServer` got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class WebServer:
    """A web server on a free port of this machine."""

    def __init__(self) -> None:
        self.hits: list[Hit] = []
        self.statuses: Iterator[int] = itertools.repeat(200)
        """Of the answers to come."""
        self.headers: dict[str, str] = {}
        self.body: Iterable[bytes] = ()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                hit = Hit(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                outer.hits.append(hit)
                self.send_response(next(outer.statuses))
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with suppress(OSError):  # who has enough of the body leaves
                    for piece in outer.body:
                        self.wfile.write(piece)

            do_GET = do_POST = handle_any  # noqa: N815  the base's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def host(self) -> str:
        """Host and port, as in a URL."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def web_server() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


@pytest.fixture
def canary() -> Iterator[WebServer]:
    """A web server that nobody is to reach."""
    server = WebServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def speech_dir() -> Path:
    """The folder of real recordings; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("ANTIPHON_SPEECH_DIR", ROOT.parent / "shared" / "speech"))
    if not (folder / "manifest.jsonl").is_file():
        pytest.skip("no real recordings: set ANTIPHON_SPEECH_DIR to a folder with manifest.jsonl")
    return folder


@pytest.fixture(scope="session")
def speech_manifest(speech_dir: Path) -> list[dict[str, Any]]:
    """One row a recording: file, text, language, kind, duration_s …"""
    return [json.loads(line) for line in (speech_dir / "manifest.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="session")
def recording(speech_dir: Path) -> Callable[[str], Samples]:
    """Real recordings by their file name in the manifest, as 16 kHz samples."""
    from faster_whisper import audio  # noqa: PLC0415 (slow to import, for tests that hear something only)

    @cache
    def decode(name: str) -> Samples:
        samples = cast("Any", audio).decode_audio(str(speech_dir / name), sampling_rate=SESSION_RATE_HZ)
        samples.flags.writeable = False
        return samples

    return decode


@pytest.fixture(scope="session")
def model_dir() -> Callable[[str], Path]:
    """Folders of installed models by name. A missing one fails the test and says what to run."""
    store = ModelStore(Path(os.environ.get("ANTIPHON_MODELS_DIR", default_root())), Catalog.load())

    def find(name: str) -> Path:
        try:
            return store.path(name)
        except SpeechError as error:
            pytest.fail(error.message)

    return find
