"""``antiphon eval system``."""

from __future__ import annotations

from pathlib import Path

import click
from rich_click import RichCommand

from server.cli.eval.options import run_options, server_options
from server.cli.eval.run import run
from server.cli.settings_options import settings_from, settings_options
from server.evaluation.system import SYSTEM, SystemWish


@click.command(cls=RichCommand)
@run_options
@click.option(
    "--load",
    "loads",
    type=click.FloatRange(0.0, min_open=True),
    multiple=True,
    default=(0.5, 1.0, 1.5, 2.0),
    show_default=True,
    help="A share of the measured capacity; can be repeated.",
)
@click.option("--seconds", type=click.FloatRange(1.0), default=10.0, show_default=True, help="Each load lasts so long.")
@click.option(
    "--slo",
    "slo_s",
    type=click.FloatRange(0.0, min_open=True),
    default=1.0,
    show_default=True,
    help="Seconds in which a text should be there, or its first sound.",
)
@settings_options
def system(
    *,
    config: Path | None,
    target: str,
    out: Path,
    seed: int,
    key: str | None,
    quick: bool,
    loads: tuple[float, ...],
    seconds: float,
    slo_s: float,
    **flags: object,
) -> None:
    """Measure a server as a whole: under load, at its start, and whether its callers are kept apart.

    Load is open loop: requests come at random at a share of the capacity, which is measured first. Then sessions and
    requests at once with a secret word each, which must not show up in another; and event streams that are cut.
    """
    wish = SystemWish(
        target=target,
        out=out,
        seed=seed,
        key=key,
        quick=quick,
        loads=tuple(sorted(loads)),
        seconds=seconds,
        slo_s=slo_s,
        server_options=server_options(config, flags),
    )
    run([(SYSTEM, wish)], settings_from(config, flags).settings)
