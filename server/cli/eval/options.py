"""Options that the areas of the evaluation share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from evals.corpora.selection import Selection, shard
from evals.targets.address import FORMS
from server.cli.remote import KEY_ENV

F = TypeVar("F", bound=Callable[..., Any])


_COMMON: Final = ("target", "out", "seed", "key", "quick", "corpus", "parallel", "fresh")


def _shard(_context: click.Context, parameter: click.Parameter, text: str) -> tuple[int, int]:
    try:
        return shard(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from error


_RUN = (
    click.option(
        "--target",
        default="inproc",
        show_default=True,
        metavar=FORMS,
        help="What is scored: a server of this machine for as long as the run lasts, an Antiphon that runs, any server "
        "with the OpenAI audio API or of the Wyoming protocol, or a bare engine. '#NAME' at its end asks for a model.",
    ),
    click.option(
        "-o", "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("eval-out"), show_default=True
    ),
    click.option("--seed", type=int, default=0, show_default=True),
    click.option("--key", envvar=KEY_ENV, help=f"API key of the server. [env: {KEY_ENV}]"),
    click.option("--quick", is_flag=True, help="A few of everything: shows that all works, not how well."),
)
_CORPUS = (
    click.option(
        "--corpus",
        required=True,
        envvar="ANTIPHON_SPEECH_DIR",
        metavar="DIR|hf:NAME",
        help="Folder with manifest.jsonl, or of LibriSpeech or Common Voice; or a data set of Hugging Face, as in "
        "hf:google/fleurs/de_de:test. [env: ANTIPHON_SPEECH_DIR]",
    ),
    click.option("--language", "languages", multiple=True, help="Only this language (en, es …); can be repeated."),
    click.option("--kind", "kinds", multiple=True, help="Only this kind (utterance, noise …); can be repeated."),
    click.option("--min-s", type=float, default=0.0, help="Only recordings of so many seconds or more."),
    click.option("--max-s", type=float, default=float("inf"), help="Only recordings of so many seconds or less."),
    click.option("--match", default="", metavar="REGEX", help="Only recordings whose id holds this."),
    click.option(
        "--shard", default="1/1", callback=_shard, metavar="N/OF", help="A part: 2/5 takes the second of five."
    ),
    click.option("--limit", type=click.IntRange(1), help="No more recordings than this."),
    click.option("--parallel", type=click.IntRange(1, 64), default=2, show_default=True, help="Requests at a time."),
    click.option("--fresh", is_flag=True, help="Ask again what earlier runs have asked."),
)


def run_options(command: F) -> F:
    """Target, folder, seed."""
    for option in reversed(_RUN):
        command = option(command)
    return command


def corpus_options(command: F) -> F:
    """The corpus and its filters. Their values go to :func:`common_of` as they are."""
    for option in reversed(_CORPUS):
        command = option(command)
    return command


def common_of(given: dict[str, Any]) -> dict[str, Any]:
    """Takes the values of both out of those of the options, as fields of a ``Wish``."""
    selection = Selection(**{name: given.pop(name) for name in Selection.__struct_fields__})
    return {"selection": selection, **{name: given.pop(name) for name in _COMMON}}


def server_options(config: Path | None, flags: Mapping[str, object]) -> tuple[str, ...]:
    """Options of ``antiphon serve`` for a server that has the settings of this command."""
    names = {"models__dir": "--models-dir", "engine__device": "--device", "engine__compute_type": "--compute-type"}
    options = [f"{names[key]}={value}" for key, value in flags.items() if value is not None]
    return (*options, *([f"--config={config}"] if config else []))
