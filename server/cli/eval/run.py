"""Runs areas of the evaluation from the command line, shows progress and figures, and leaves the report."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from stamina.instrumentation import set_on_retry_hooks

from evals.figures import figure, wanted
from evals.markdown import shown
from evals.output import JUNIT, MARKDOWN, PAGE, write
from evals.report import REPORT, Report
from evals.report import Table as Groups
from server.cli import event_loop
from server.evaluation.area import Area, Track, evaluate
from server.settings import Settings

_STYLES: Final = {"met": "bold green", "missed": "bold red", "": "bold"}


def run(areas: Sequence[tuple[Area[Any], Any]], settings: Settings, split: str = "") -> None:
    """Measure, show, write. Ends the program with status 1 if something that must be zero is not."""
    wish = areas[0][1]
    wish.out.mkdir(parents=True, exist_ok=True)
    set_on_retry_hooks(())  # log lines of retries would break the progress bar; what fails in the end is in the report
    # As Ctrl-C: the server that was started must not outlive the run.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    report, samples = event_loop.run(evaluate, areas, settings, tracker(console), split)
    write(report, samples, wish.out)
    show(console, report)
    console.print(Text("\n".join(str(wish.out / name) for name in (REPORT, PAGE, MARKDOWN, JUNIT)), style="cyan"))
    if any(row.hard_zero and row.verdict == "missed" for row in report.rows):
        click.get_current_context().exit(1)


def tracker(console: Console) -> Track:
    """Progress bars where someone sees them, and what each stage took where it is written to a file."""

    @contextmanager
    def track(title: str, steps: int) -> Generator[Callable[[int], None]]:
        began = time.perf_counter()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task(title, total=steps)

            def advance(done: int) -> None:
                progress.advance(task, done)

            yield advance
        if not console.is_terminal:
            console.print(f"{title}: {steps}, {time.perf_counter() - began:.0f} s")

    return track


def show(console: Console, report: Report) -> None:
    """The figures as tables."""
    for section in report.sections:
        table = Table(title=section.title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for name in ("figure", section.head, "should be", "n", "beside it"):
            table.add_column(name)
        for row in section.rows:
            beside = "; ".join(f"{name} {figure(value, row.unit)}" for name, value in row.beside.items())
            table.add_row(
                row.title,
                Text(figure(row.estimate, row.unit), style=_STYLES[row.verdict]),
                wanted(row),
                str(row.estimate.n) if row.estimate else "",
                Text(beside, style="dim"),
            )
        console.print(table if section.rows else Text(section.title, style="bold"), "")
        for groups in section.tables[:1]:
            console.print(_table(groups), "")
        for note in section.notes:
            console.print(Text(note, style="dim"))


def _table(groups: Groups) -> Table:
    table = Table(title=groups.title, title_justify="left", box=None, pad_edge=False)
    for name in groups.head:
        table.add_column(name)
    for row in groups.rows:
        table.add_row(*map(shown, row))
    return table
