"""The command line: ``antiphon``."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from importlib.metadata import version
from typing import Final

import click
from click.shell_completion import get_completion_class

from engines.memory import glibc_tunables
from server.cli.lazy_group import LazyCommand, LazyGroup
from server.logs import configure_logs
from server.settings import LogSettings

_COMMANDS: Final = {
    "serve": LazyCommand("server.cli.serve", "serve", "Start the server."),
    "demo": LazyCommand("server.cli.demo", "demo", "Hold a short conversation with it, from start to end."),
    "transcribe": LazyCommand("server.cli.transcribe", "transcribe", "Write down what is said in recordings."),
    "say": LazyCommand("server.cli.say", "say", "Speak a text into a file."),
    "replay": LazyCommand(
        "server.cli.replay", "replay_log", "Run a session's decisions again, or under other settings."
    ),
    "eval": LazyCommand("server.cli.eval", "evaluate", "Measure how well conversations go."),
    "models": LazyCommand("server.cli.models", "models", "List, fetch, check and delete model weights."),
    "voices": LazyCommand("server.cli.voices", "voices", "Keep voices of people, with their consent."),
    "keys": LazyCommand("server.cli.keys", "keys", "Make, list and revoke the API keys that callers come in by."),
    "mcp": LazyCommand("server.cli.mcp", "mcp", "Serve an agent over the Model Context Protocol, on stdio."),
    "tools": LazyCommand("server.cli.tools", "tools", "The typed tools for agents: call them, show their schemas."),
    "completion": LazyCommand("server.cli.main", "completion", "Print the completion script of a shell."),
    "version": LazyCommand("server.cli.main", "show_version", "Print the version."),
}
_WITH_ENGINES: Final = {"serve", "mcp", "transcribe", "say", "eval"}
_BEGUN: Final = "_ANTIPHON_BEGUN"
"""Set in the environment of a program that has begun once more, lest it does so for ever."""


@click.group(cls=LazyGroup, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("antiphon"), prog_name="antiphon")
def antiphon() -> None:
    """Antiphon: a session-aware speech server for conversational AI.

    First steps: antiphon models pull --default, then antiphon demo or antiphon serve.
    """
    # What a command prints is its result; serve turns the log up.
    configure_logs(LogSettings(level="warning"))


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash:  eval "$(antiphon completion bash)"          in ~/.bashrc
    zsh:   eval "$(antiphon completion zsh)"           in ~/.zshrc
    fish:  antiphon completion fish > ~/.config/fish/completions/antiphon.fish
    """  # noqa: D301 - the character \b keeps click from joining lines
    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(antiphon, {}, "antiphon", "_ANTIPHON_COMPLETE").source())


@click.command("version")
def show_version() -> None:
    """Print the version of Antiphon, of Python and of the machine."""
    click.echo(f"antiphon {version('antiphon')} (Python {platform.python_version()}, {platform.platform()})")


def main() -> None:
    """The console script."""
    has_begun = os.environ.pop(_BEGUN, "")
    if not has_begun and sys.argv[1:2] and sys.argv[1] in _WITH_ENGINES and (tunables := glibc_tunables()):
        # glibc reads them when a process begins. So the program begins once more, as the same process; where it may
        # not, it goes on as it is.
        with suppress(OSError):
            arguments = [sys.executable, *sys.orig_argv[1:]]
            os.execve(sys.executable, arguments, {**os.environ, _BEGUN: "1", "GLIBC_TUNABLES": tunables})  # noqa: S606
    antiphon(prog_name="antiphon")
