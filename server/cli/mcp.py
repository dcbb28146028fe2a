"""``antiphon mcp``."""

from __future__ import annotations

import signal
import socket
from functools import partial
from pathlib import Path

import anyio
import click
from rich_click import RichCommand

from schemas.errors import ErrorCode, SpeechError
from server import speech_engines
from server.app import create_app
from server.cli import event_loop
from server.cli.remote import credentials
from server.cli.serve import AppServer, bind, url_of, uvicorn_config
from server.cli.settings_options import settings_from, settings_options
from server.logs import configure_logs
from server.mcp.stdio import bridge_stdio, serve_stdio
from server.settings import Settings


@click.command(cls=RichCommand)
@settings_options
@click.option(
    "--url",
    envvar="ANTIPHON_URL",
    show_envvar=True,
    metavar="URL",
    help="Use the server that runs there, instead of starting one.",
)
@click.option(
    "--port",
    "server__port",
    type=int,
    default=0,
    metavar="PORT",
    help="Without --url: port on 127.0.0.1 for the clients of sessions; 0 takes a free one.  [default: 0]",
)
@click.option(
    "--store",
    "store__kind",
    default="memory",
    show_default=True,
    metavar="sqlite|memory",
    help="Without --url: where histories of sessions are kept. One process at a time can have the sqlite file.",
)
@click.option("--fake-engines", is_flag=True, hidden=True)
def mcp(config: Path | None, *, url: str | None, fake_engines: bool, **flags: object) -> None:
    """Serve an agent over the Model Context Protocol, on standard input and output.

    For clients that start their servers themselves. Those that take a URL need no command: a running server has the
    protocol at /mcp.
    """
    if url is not None:
        event_loop.run(bridge_stdio, url, credentials())
        return
    settings = settings_from(config, flags).settings
    configure_logs(settings.log)
    event_loop.run(partial(_serve, settings, bind(settings.server), fake_engines=fake_engines))


async def _serve(settings: Settings, listener: socket.socket, *, fake_engines: bool) -> None:
    """One application: for the agent here, and over HTTP for whoever has the microphone."""
    app = create_app(settings, host=speech_engines.fake_host(settings) if fake_engines else None)
    app.state.stdio.instructions += f" The paths in results are below {url_of(listener)}."
    ready = anyio.Event()
    server = AppServer(uvicorn_config(app, settings), on_ready=ready.set, on_stop=app.state.stop)

    async def serve() -> None:
        # On a signal uvicorn stops gracefully and raises the signal again. It has to end the process: a thread waits
        # for standard input, which cannot be interrupted.
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signal_number, signal.SIG_DFL)
        await server.serve([listener])
        if not ready.is_set():
            raise SpeechError(ErrorCode.INTERNAL, "The server did not start. Its log, above, says why.")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        await ready.wait()
        await serve_stdio(app.state.stdio)
        server.should_exit = True
