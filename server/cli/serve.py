"""``antiphon serve``."""

from __future__ import annotations

import errno
import resource
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final, cast

import anyio
import click
import msgspec
import uvicorn
from litestar import Litestar
from rich.console import Console
from rich.table import Table
from rich_click import RichCommand
from sse_starlette.sse import AppStatus

from schemas.errors import ErrorCode, SpeechError
from server import speech_engines
from server.app import create_app
from server.cli.settings_options import settings_from, settings_options
from server.http_connection import HttpConnection
from server.logs import configure_logs
from server.settings import LoadedSettings, ServerSettings, Settings, setting_fields, without_secrets

_BACKLOG: Final = 2_048
_FILES_WANTED: Final = 65_536
"""Each connection is one. Systems give a process 1,024, and more to who asks."""


@click.command(cls=RichCommand)
@settings_options
@click.option("--host", "server__host", metavar="ADDRESS", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", "server__port", type=int, help="Port to listen on; 0 takes a free one.  [default: 8080]")
@click.option(
    "--allow-host",
    "server__allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="A name besides localhost under which clients and web pages may reach the server. Can be repeated.",
)
@click.option(
    "--insecure", "auth__mode", flag_value="off", default=None, help="Let in everyone who can reach the address."
)
@click.option("--asr-model", "models__asr", metavar="NAME", help="Recognition model of requests that name none.")
@click.option("--voice", "models__voice", metavar="NAME", help="Voice of requests that name none.")
@click.option("--warm/--no-warm", "models__warm", default=None, help="Load the default models at start.")
@click.option("--store", "store__kind", metavar="sqlite|memory", help="Where histories of sessions are kept.")
@click.option("--log-level", "log__level", metavar="LEVEL", help="debug, info, warning or error.")
@click.option("--log-format", "log__format", metavar="FORMAT", help="console or json.")
@click.option("--print-settings", is_flag=True, help="Show every setting, its value and where it comes from, and end.")
@click.option("--json", "as_json", is_flag=True, help="With --print-settings: as JSON.")
@click.option("--fake-engines", is_flag=True, hidden=True)
def serve(config: Path | None, *, print_settings: bool, as_json: bool, fake_engines: bool, **flags: object) -> None:
    """Start the server.

    Every setting can also be given in the environment or in a TOML file: see --print-settings for their names.
    """
    loaded = settings_from(config, flags)
    if print_settings:
        _print_settings(loaded, as_json=as_json)
        return
    settings = loaded.settings
    configure_logs(settings.log)
    raise_file_limit()
    with bind(settings.server) as listener:
        anyio.run(partial(_serve, settings, listener, fake_engines=fake_engines), backend_options={"use_uvloop": True})


async def _serve(settings: Settings, listener: socket.socket, *, fake_engines: bool) -> None:
    app = create_app(settings, host=speech_engines.fake_host(settings) if fake_engines else None)
    server = AppServer(uvicorn_config(app, settings), on_ready=lambda: _announce(listener), on_stop=app.state.stop)
    # uvicorn stops gracefully and then raises the signal again, for its caller to die of. We are done by then. Not
    # sooner than here: until uvicorn listens to them, signals end the process.
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, _ignore)
    await server.serve([listener])


def uvicorn_config(app: Litestar, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves the application."""
    return uvicorn.Config(
        cast("Any", app),  # which Litestar types its own way
        http=cast("Any", partial(HttpConnection, head_timeout_s=settings.limits.head_timeout_s)),
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        # Sound does not deflate: it costs each session CPU time for every frame, and a third of a megabyte.
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=max(1, round(settings.server.drain_s)),
    )


def raise_file_limit() -> None:
    """Have as many open files as are wanted, or as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(_FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # a kernel may have a limit of its own, below the one it tells
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _ignore(_signal_number: int, _frame: FrameType | None) -> None:
    pass


class AppServer(uvicorn.Server):
    """Says when it is ready, and ends sessions while their clients can still be told."""

    def __init__(
        self, config: uvicorn.Config, *, on_ready: Callable[[], None], on_stop: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(config)
        # The library would cut off all streams of server-sent events at the signal, those of calls over MCP too, whose
        # answers are on their way. Ours are ended by on_stop, and the others end with their calls.
        AppStatus.disable_automatic_graceful_drain()
        self._on_ready = on_ready
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the application and listen."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests finish, then close the application."""
        await self._on_stop()
        await super().shutdown(sockets)


def bind(settings: ServerSettings) -> socket.socket:
    """A listening socket.

    Raises:
        SpeechError: ``invalid_setting`` if the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        place = f"port {settings.port} of {settings.host}"
        reasons = {
            errno.EADDRINUSE: f"Something listens on {place} already. Stop it, or choose another port with --port.",
            errno.EACCES: f"This user may not listen on {place}. Choose a port above 1023 with --port.",
        }
        other = f"It is not possible to listen on {place}: {error.strerror}. Choose another address with --host."
        reason = reasons.get(error.errno or 0, other)
        raise SpeechError(ErrorCode.INVALID_SETTING, reason, param="server.port") from error


def url_of(listener: socket.socket) -> str:
    """Where a listening socket can be reached from this machine."""
    host, port = listener.getsockname()[:2]
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{name}:{port}"


def _announce(listener: socket.socket) -> None:
    url = url_of(listener)
    # Plain lines, so that they can be copied as they are.
    click.echo(
        f"Antiphon listens on {url}. Try:\n"
        f"  curl {url}/v1/audio/speech -H 'Content-Type: application/json' "
        """-d '{"input": "Hello there.", "response_format": "wav"}' -o hello.wav\n"""
        f"  curl {url}/v1/audio/transcriptions -F file=@hello.wav\n"
        f"  {url}/docs    every operation\n"
        f"  {url}/readyz  whether the models are loaded\n"
        "Ctrl-C stops it, once what runs is done."
    )


def _print_settings(loaded: LoadedSettings, *, as_json: bool) -> None:
    settings = without_secrets(loaded.settings)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(settings)).decode())
        return
    table = Table("setting", "value", "from", caption="In the environment, server.port is ANTIPHON_SERVER_PORT.")
    for field in setting_fields():
        value = getattr(getattr(settings, field.section), field.name)
        shown = ", ".join(cast("tuple[str, ...]", value)) if isinstance(value, tuple) else _shown(value)
        source = loaded.sources[field.key]
        table.add_row(field.key, shown, source, style="dim" if source == "default" else "bold")
    Console().print(table)


def _shown(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
