"""A command group that imports a subcommand only when it is run.

``antiphon --help`` and shell completion must not wait for numpy and onnxruntime.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click
from msgspec import Struct
from rich.console import Console
from rich.text import Text
from rich_click import RichGroup

from schemas.errors import SpeechError


class LazyCommand(Struct, frozen=True):
    """Where a subcommand is, and the line that ``--help`` shows."""

    module: str
    name: str
    """The attribute of the module."""
    help: str


class LazyGroup(RichGroup):
    """A group of :class:`LazyCommand`. A :class:`SpeechError` ends the program in one red line, with status 1.

    Args:
        lazy: Subcommands by name.
        attrs: As of any click group.
    """

    def __init__(self, *, lazy: Mapping[str, LazyCommand], **attrs: Any) -> None:  # noqa: ANN401  click's own shape
        super().__init__(**attrs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's own shape
        """Names, in the order given."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """A stand-in with the help line, without importing anything."""
        lazy = self._lazy.get(cmd_name)
        return None if lazy is None else click.Command(cmd_name, short_help=lazy.help, help=lazy.help)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The real command, imported now."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is None or name is None:
            return name, command, rest
        lazy = self._lazy[name]
        return name, getattr(import_module(lazy.module), lazy.name), rest

    def invoke(self, ctx: click.Context) -> object:
        """Run, and tell failures to people."""
        try:
            return super().invoke(ctx)
        except SpeechError as error:
            Console(stderr=True, soft_wrap=True).print(Text(error.message, style="red"))
            ctx.exit(1)
