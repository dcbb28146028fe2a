"""``antiphon demo``."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click
from anyio import to_thread
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich_click import RichCommand

from schemas.errors import ErrorCode, SpeechError
from server import speech_engines
from server.cli import event_loop
from server.cli.settings_options import settings_from, settings_options
from server.demo.client import AgentClient
from server.demo.recordings import INTERRUPTION, SPEECH, examples_folder, load_recording
from server.demo.report import FILES, SERVER_LOG, write_report
from server.demo.script import Recording, Scenario, hold
from server.demo.server_process import child_server
from server.demo.terminal import make_view
from server.demo.verdict import Verdict, judge
from server.settings import Settings

_STOPPED_STATUS: Final = 130
"""As shells have it for Ctrl-C."""


class _Wish(Struct, frozen=True, kw_only=True):
    """What the options ask for."""

    out: Path
    recording: Path | None
    expect: str | None
    server_options: tuple[str, ...]


@click.command(cls=RichCommand)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-out"),
    show_default=True,
    help="Folder for what the demo leaves behind.",
)
@click.option(
    "--recording",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Have this recording of English speech, one turn long, speak for the user.",
)
@click.option("--expect", metavar="TEXT", help="What the user says; the demo fails if it is not understood.")
@settings_options
@click.pass_context
def demo(
    context: click.Context,
    config: Path | None,
    *,
    out: Path,
    recording: Path | None,
    expect: str | None,
    **flags: object,
) -> None:
    """Hold a short conversation with the server, from start to end.

    A recording of a human speaks to a server of its own, in real time; the server listens and answers, and is
    interrupted once. Ends with status 0 if what was understood and what was heard are right.
    """
    settings = settings_from(config, flags).settings
    _check_models(settings)
    wish = _Wish(out=out, recording=recording, expect=expect, server_options=_server_options(config, flags))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"{out} cannot be made: {error.strerror}.") from error
    # As Ctrl-C: the server of the demo must not outlive it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    try:
        verdict = event_loop.run(_run, wish, settings, console)
    except KeyboardInterrupt:
        console.print("Stopped.")
        context.exit(_STOPPED_STATUS)
    _summarise(console, verdict, out)
    context.exit(0 if verdict.passed else 1)


def _check_models(settings: Settings) -> None:
    store = speech_engines.model_store(settings)
    missing = [entry.name for entry in store.catalog if entry.default and not store.installed(entry.name)]
    if missing:
        raise SpeechError(
            ErrorCode.MODEL_NOT_INSTALLED,
            f"These default models are not installed: {', '.join(missing)}. Run: antiphon models pull --default",
        )


def _server_options(config: Path | None, flags: Mapping[str, object]) -> tuple[str, ...]:
    names = {"models__dir": "--models-dir", "engine__device": "--device", "engine__compute_type": "--compute-type"}
    options = [f"{names[key]}={value}" for key, value in flags.items() if value is not None]
    return (*options, *([f"--config={config}"] if config else []))


async def _run(wish: _Wish, settings: Settings, console: Console) -> Verdict:
    view = make_view(console, os.environ)
    with view.step("Reading the recordings"):
        scenario = await _scenario(wish, settings)
    async with child_server(wish.out / SERVER_LOG, wish.server_options) as server:
        with view.step("Starting the server and loading the models"):
            await server.ready()
        client = AgentClient(server.http)
        with view.conversation():
            dialogue = await hold(client, scenario, on_event=view.on_event, on_tick=view.on_tick)
        with view.step("Listening to what the loudspeaker played"):
            verdict = await judge(client, dialogue, scenario)
    await to_thread.run_sync(write_report, wish.out, dialogue, verdict)
    return verdict


async def _scenario(wish: _Wish, settings: Settings) -> Scenario:
    folder = examples_folder()
    speech_path, speech_text = (wish.recording, None) if wish.recording else (folder / SPEECH.name, SPEECH.text)
    async with speech_engines.decoder(settings) as decoder:
        speech: Recording = await load_recording(speech_path, wish.expect or speech_text, decoder)
        interruption = await load_recording(folder / INTERRUPTION.name, INTERRUPTION.text, decoder)
    return Scenario(speech=speech, interruption=interruption)


def _summarise(console: Console, verdict: Verdict, out: Path) -> None:
    checks = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for check in verdict.checks:
        sign = Text("✓", style="bold green") if check.passed else Text("✗", style="bold red")
        checks.add_row(sign, Text(check.title, style="bold"), Text(check.detail))
    times = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for figure in verdict.figures:
        times.add_row(Text(f"{figure.ms} ms", style="bold", justify="right"), figure.title)
    files = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for file in FILES:
        files.add_row(Text(str(out / file.name), style="cyan", no_wrap=True), file.title)
    console.print("", checks, "", times, "", files, "", sep="\n")
    if verdict.passed:
        console.print(Text("All is well. Next: antiphon serve", style="bold green"))
    else:
        console.print(Text("Something is wrong; see the lines with ✗.", style="bold red"))
