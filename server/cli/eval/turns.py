"""``antiphon eval turns``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich_click import RichCommand

from evals.turns.dialogue import Split
from server.cli.eval.options import run_options, server_options
from server.cli.eval.run import run
from server.cli.settings_options import settings_from, settings_options
from server.evaluation.turns import TURNS, TurnsWish


@click.command(cls=RichCommand)
@run_options
@click.option("--split", type=click.Choice([one.value for one in Split]), default="test", show_default=True)
@click.option("--language", "languages", multiple=True, help="Only this language (en, es …); can be repeated.")
@click.option("--parallel", type=click.IntRange(1, 64), default=3, show_default=True, help="Conversations at a time.")
@click.option("--repeats", type=click.IntRange(1, 50), default=1, show_default=True, help="Of each, with other voices.")
@click.option(
    "--turn",
    "turn_settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A turn setting of the sessions, such as offset_ms=150; can be repeated.",
)
@click.option(
    "--recordings",
    "speech_dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    envvar="ANTIPHON_SPEECH_DIR",
    help="Folder of recordings with manifest.jsonl. [env: ANTIPHON_SPEECH_DIR]",
)
@click.option(
    "--eot-bench",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Folder of turns in the form of eot-bench: manifest.jsonl with silence_spans, and the files it names.",
)
@settings_options
def turns(
    *,
    config: Path | None,
    target: str,
    split: str,
    out: Path,
    seed: int,
    languages: tuple[str, ...],
    parallel: int,
    repeats: int,
    turn_settings: tuple[str, ...],
    key: str | None,
    speech_dir: Path | None,
    eot_bench: Path | None,
    quick: bool,
    **flags: object,
) -> None:
    """Measure turn-taking: simulated users talk to a server, and what it does is held against what they did.

    Speech is rendered once and kept in the user's cache folder.
    """
    wish = TurnsWish(
        target=target,
        split=Split(split),
        out=out,
        seed=seed,
        languages=languages,
        quick=quick,
        parallel=parallel,
        repeats=repeats,
        turn_settings=_settings_of(turn_settings),
        key=key,
        speech_dir=speech_dir,
        eot_bench=eot_bench,
        server_options=server_options(config, flags),
    )
    run([(TURNS, wish)], settings_from(config, flags).settings, split)


def _settings_of(pairs: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} is not of the form NAME=VALUE.", param_hint="--turn")
        try:
            found[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            found[name] = value
    return found
