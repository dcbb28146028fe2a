"""``antiphon eval tts``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich_click import RichCommand

from server.cli.eval.options import common_of, corpus_options, run_options, server_options
from server.cli.eval.run import run
from server.cli.settings_options import settings_from, settings_options
from server.evaluation.tts import LISTENER, TTS, TtsWish


@click.command(cls=RichCommand)
@run_options
@corpus_options
@click.option(
    "--listener",
    default=LISTENER,
    show_default=True,
    metavar="TARGET",
    help="Understands what is spoken, for the round trip. Runs are comparable if it is the same.",
)
@click.option(
    "--voice",
    "voices",
    multiple=True,
    metavar="LANGUAGE=NAME",
    help="A voice in place of the target's default for the language; can be repeated.",
)
@click.option(
    "--texts", type=click.IntRange(1), default=3, show_default=True, help="Texts of the corpus, for each language."
)
@click.option(
    "--sentences",
    type=click.IntRange(1),
    default=12,
    show_default=True,
    help="Sentences with numbers, dates, units and names, for each language.",
)
@settings_options
def tts(
    *,
    config: Path | None,
    listener: str,
    voices: tuple[str, ...],
    texts: int,
    sentences: int,
    **given: Any,  # noqa: ANN401  see options
) -> None:
    """Measure how it speaks: what is understood of it, how soon it sounds, what it reads wrongly.

    The texts are those of the corpus, which people have read too, and sentences that voices often read wrongly.
    """
    if wrong := [pair for pair in voices if not all(pair.partition("="))]:
        raise click.BadParameter(f"{wrong[0]!r} is not of the form LANGUAGE=NAME.", param_hint="--voice")
    common = common_of(given)
    wish = TtsWish(
        listener=listener,
        voices=voices,
        texts=texts,
        sentences=sentences,
        server_options=server_options(config, given),
        **common,
    )
    run([(TTS, wish)], settings_from(config, given).settings)
