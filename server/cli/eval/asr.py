"""``antiphon eval asr``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich_click import RichCommand

from evals.targets.base import Search
from server.cli.eval.options import common_of, corpus_options, run_options, server_options
from server.cli.eval.run import run
from server.cli.settings_options import settings_from, settings_options
from server.evaluation.asr import ASR, CALIBRATE, STREAM, AsrWish


@click.command(cls=RichCommand)
@run_options
@corpus_options
@click.option(
    "--beam", type=click.IntRange(1, 10), default=Search().beam, show_default=True, help="Of the search; 1 is greedy."
)
@click.option("--once", is_flag=True, help="Decode once, whatever Whisper's own checks say of it; bare engines only.")
@click.option("--detect/--no-detect", default=True, show_default=True, help="Whether to ask for languages, too.")
@click.option(
    "--stream",
    type=click.IntRange(0),
    default=STREAM,
    show_default=True,
    help="Recordings said to sessions in real time, where the target has sessions.",
)
@click.option(
    "--calibrate",
    type=click.IntRange(0),
    default=CALIBRATE,
    show_default=True,
    help="Recordings recognised once more, with the probabilities of words.",
)
@settings_options
def asr(*, config: Path | None, beam: int, once: bool, detect: bool, stream: int, calibrate: int, **given: Any) -> None:  # noqa: ANN401  see options
    """Measure recognition: word error rates by language, kind and noise, invented words, calibration, speed."""
    common = common_of(given)
    wish = AsrWish(
        search=Search(beam=beam, once=once),
        detect=detect,
        stream=stream,
        calibrate=calibrate,
        server_options=server_options(config, given),
        **common,
    )
    run([(ASR, wish)], settings_from(config, given).settings)
