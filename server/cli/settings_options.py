"""Options that several commands share: where settings come from, and which engines run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from server.settings import LoadedSettings, load_settings

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="Settings file, TOML. [env: ANTIPHON_CONFIG]",
    ),
    click.option("--models-dir", "models__dir", type=click.Path(file_okay=False), help="Folder of models."),
    click.option(
        "--device", "engine__device", metavar="auto|cpu|cuda|cuda:N", help="Where recognition and voices on torch run."
    ),
    click.option("--compute-type", "engine__compute_type", metavar="TYPE", help="Of recognition: int8, float16 …"),
)


def settings_options(command: F) -> F:
    """Add the options. Their values go to :func:`settings_from` as they are."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_from(config: Path | None, flags: dict[str, object]) -> LoadedSettings:
    """The settings by file, environment and flags.

    Args:
        config: The file of ``--config``.
        flags: Values by the key's name with two underscores for the dot: an option's name must be an identifier.
            Those not given are ``None`` or empty.
    """
    given = {name.replace("__", "."): value for name, value in flags.items() if value not in (None, ())}
    return load_settings(os.environ, config=config, flags=given)
