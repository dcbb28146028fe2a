"""``antiphon eval compare``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.text import Text
from rich_click import RichCommand

from evals.comparison.change import CANNOT_TELL, change
from evals.comparison.gate import read_gate
from evals.comparison.pairs import paired, read_run
from evals.figures import figure, wanted
from evals.output import JUNIT, MARKDOWN, PAGE, write_report
from server.cli.eval.run import show

_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)


@click.command(cls=RichCommand)
@click.argument("before", type=_FOLDER)
@click.argument("after", type=_FOLDER)
@click.option(
    "--gate",
    "gate_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="What change fails, TOML. Left out: word error rates of areas by half a point, turns cut off or missed by "
    "one, overlaps by two, latencies and capacity by 15 %, and whatever must be 0.",
)
@click.option("--subset", is_flag=True, help="AFTER may have fewer recordings than BEFORE.")
@click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), help="[default: AFTER/change]")
def compare(before: Path, after: Path, gate_file: Path | None, subset: bool, out: Path | None) -> None:  # noqa: FBT001  click's
    """Hold the run in the folder AFTER against the run in BEFORE. Ends with status 1 if the gate fails."""
    pairs = paired(read_run(before), read_run(after))
    gate = read_gate(gate_file) if gate_file else None
    report = change(pairs, gate, f"Change from {before.name} to {after.name}", is_subset=subset)
    folder = out or after / "change"
    write_report(report, folder)
    console = Console()
    show(console, report)
    console.print(Text("\n".join(str(folder / name) for name in (PAGE, MARKDOWN, JUNIT)), style="cyan"))
    untold = [row.id for row in report.rows if row.note.endswith(CANNOT_TELL)]
    if untold:
        console.print(Text(f"The gate cannot tell: {', '.join(untold)}", style="bold yellow"))
    failed = [row for row in report.rows if row.verdict == "missed"]
    for row in failed:
        found = f"{row.id} is {figure(row.estimate, row.unit)}, and should be {wanted(row)}. {row.note}"
        console.print(Text(f"The gate fails: {found}", style="bold red"))
    if failed:
        click.get_current_context().exit(1)
    console.print(Text("The gate passes.", style="bold green"))
