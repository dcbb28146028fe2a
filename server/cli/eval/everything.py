"""``antiphon eval all``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich_click import RichCommand

from evals.turns.dialogue import Split
from server.cli.eval.options import common_of, corpus_options, run_options, server_options
from server.cli.eval.run import run
from server.cli.settings_options import settings_from, settings_options
from server.evaluation.area import Area, Wish
from server.evaluation.asr import ASR, AsrWish
from server.evaluation.robustness import ROBUSTNESS, RobustnessWish
from server.evaluation.system import SYSTEM, SystemWish
from server.evaluation.tts import TTS, TtsWish
from server.evaluation.turns import TURNS, TurnsWish


@click.command("all", cls=RichCommand)
@run_options
@corpus_options
@settings_options
def everything(*, config: Path | None, **given: Any) -> None:  # noqa: ANN401  see options
    """Measure all areas, one after the other, into one report."""
    common = common_of(given)
    common["server_options"] = server_options(config, given)
    folder = Path(common["corpus"])
    areas: list[tuple[Area[Any], Wish]] = [
        (ASR, AsrWish(**common)),
        (TTS, TtsWish(**common)),
        (ROBUSTNESS, RobustnessWish(**common)),
        (SYSTEM, SystemWish(**common)),
        (
            TURNS,
            TurnsWish(
                **common,
                split=Split.TEST,
                languages=common["selection"].languages,
                speech_dir=folder if folder.is_dir() else None,
            ),
        ),
    ]
    run(areas, settings_from(config, given).settings)
