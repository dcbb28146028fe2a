"""``antiphon eval robustness``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich_click import RichCommand

from server.cli.eval.options import common_of, corpus_options, run_options, server_options
from server.cli.eval.run import run
from server.cli.settings_options import settings_from, settings_options
from server.evaluation.robustness import ROBUSTNESS, RobustnessWish


@click.command(cls=RichCommand)
@run_options
@corpus_options
@click.option(
    "--per-language", type=click.IntRange(1), default=2, show_default=True, help="So many recordings of each language."
)
@settings_options
def robustness(*, config: Path | None, per_language: int, **given: Any) -> None:  # noqa: ANN401  see options
    """Measure how recognition fares in noise and rooms, over lines and codecs, with packets lost, clipped, quiet, fast.

    The same recordings are damaged more and more, in each of these ways.
    """
    common = common_of(given)
    wish = RobustnessWish(per_language=per_language, server_options=server_options(config, given), **common)
    run([(ROBUSTNESS, wish)], settings_from(config, given).settings)
