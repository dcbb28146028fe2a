"""``python -m benchmarks``."""

from __future__ import annotations

import importlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich_click import RichCommand, RichGroup

from benchmarks import document, machine
from benchmarks.bench import PAIRS, Bench
from benchmarks.numbers_text import with_interval
from benchmarks.page import page
from benchmarks.report import Report, Section, load, save
from benchmarks.sections.result import Result, cause

SECTIONS: Final = {
    "asr": "Recognition against serial faster-whisper: throughput and word error rates.",
    "tts": "First audio, cached prompts, gaps in playback under load.",
    "turn": "From the end of speech to the final transcript, in real time.",
    "overhead": "What the server adds to the same engine call.",
    "sessions": "Listening sessions per core, their memory, lag of the event loop.",
    "peers": "Beside wyoming-faster-whisper, whisper-live, piper's HTTP server and fastkokoro.",
    "floors": "What the models alone cost, stage by stage: below that nothing can go.",
}
Run = Callable[[Bench, Result], Awaitable[None]]
_STYLES: Final = {"met": "green", "met, within noise": "green", "missed": "red", "missed, within noise": "yellow"}


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--out",
            type=click.Path(path_type=Path, file_okay=False),
            default=Path("bench-out"),
            show_default=True,
            help="Folder of report.html, report.json and logs.",
        ),
        click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N; for peers too."),
        click.option("--compute-type", default="int8", show_default=True, help="Of recognition, on both sides."),
        click.option(
            "--quick", is_flag=True, help=f"3 pairs instead of {PAIRS} and short loads: to see that all works."
        ),
    ):
        command = option(command)
    return command


@click.group(cls=RichGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure Antiphon, beside what it is made of and beside its peers.

    A section is measured anew, and takes the place of its older self in the report; the others stay. Let nothing else
    run meanwhile: the report says when something did. Peers are installed once, each in an environment of its own in
    the user's cache folder.

    \b
    python -m benchmarks all                 everything, some 20 minutes
    python -m benchmarks all --quick         the same, of few measurements
    python -m benchmarks asr                 one section
    python -m benchmarks soak --minutes 30 --load 0.7
    python -m benchmarks docs bench-out/report.json
    """  # noqa: D301 - the character \b keeps click from joining lines


@main.command("all", cls=RichCommand)
@_options
@click.option("--skip", multiple=True, type=click.Choice(list(SECTIONS)), help="A section to leave out; repeatable.")
def run_all(*, skip: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401  those of _options
    """All sections, one after the other."""
    for name in SECTIONS:
        if name not in skip:
            _measure(name, _runner(name), **options)


def _section_command(name: str, text: str) -> click.Command:
    @_options
    def callback(**options: Any) -> None:  # noqa: ANN401  those of _options
        if not _measure(name, _runner(name), **options):
            raise click.exceptions.Exit(1)

    return click.command(name, cls=RichCommand, help=text)(callback)


for _name, _text in SECTIONS.items():
    main.add_command(_section_command(_name, _text))


@main.command(cls=RichCommand)
@_options
@click.option("--minutes", type=click.FloatRange(min=0.1), default=30.0, show_default=True)
@click.option("--load", "share", type=click.FloatRange(0.05, 1.0), default=0.7, show_default=True, help="Of capacity.")
def soak(*, minutes: float, share: float, **options: Any) -> None:  # noqa: ANN401  those of _options
    """Mixed load for long: does memory grow, do files or threads leak, does anything fail?"""
    run: Run = partial(importlib.import_module("benchmarks.sections.soak").run, minutes=minutes, load=share)
    if not _measure("soak", run, **options):
        raise click.exceptions.Exit(1)


@main.command(cls=RichCommand)
@click.argument("report", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--into", type=click.Path(path_type=Path, dir_okay=False, exists=True), default=Path("docs/performance.md")
)
def docs(report: Path, into: Path) -> None:
    """Write the tables of docs/performance.md from a report; those on a GPU, if it was measured on one."""
    document.write(load(report), into)
    click.echo(f"{into} has the figures of {report}.")


def _runner(name: str) -> Run:
    return importlib.import_module(f"benchmarks.sections.{name}").run


def _measure(name: str, run: Run, *, out: Path, device: str, compute_type: str, quick: bool) -> bool:
    """Run a section and add it to the report. Whether it went to its end."""
    console = Console(stderr=True)
    conditions = machine.conditions(device=device, compute_type=compute_type, quick=quick)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(name, total=None)

        def say(text: str) -> None:
            progress.update(bar, description=f"{name}: {text}")
            if not console.is_terminal:
                console.print(f"{name}: {text}")

        bench = Bench(
            out=out.resolve(), device=device, compute_type=compute_type, quick=quick, cores=machine.cores(), say=say
        )
        began = time.perf_counter()
        result, error = Result(), ""
        try:
            anyio.run(run, bench, result)
        except Exception as failure:  # noqa: BLE001  a section that fails must not take the others' figures with it
            error = cause(failure)
            console.print_exception()
    section = Section(
        name=name,
        conditions=conditions,
        took_s=time.perf_counter() - began,
        rows=tuple(result.rows),
        plots=tuple(result.plots),
        notes=tuple(result.notes),
        error=error,
    )
    report = load(out / "report.json").with_section(section)
    save(report, out / "report.json")
    (out / "report.html").write_text(page(report), "utf-8")
    _print(section, report, console)
    console.print(f"[dim]{out / 'report.html'}[/dim]")
    return not error


def _print(section: Section, report: Report, console: Console) -> None:
    busy = section.conditions.others_load > document.BUSY_LOAD
    note = f"[yellow]others were at work: load {section.conditions.others_load}[/yellow]" if busy else ""
    table = Table("figure", "measured", "verdict", title=f"{section.name}, {section.took_s:.0f} s {note}")
    for row in section.rows:
        found = report.row(row.id) or row
        style = _STYLES.get(found.verdict, "dim")
        table.add_row(
            row.title, row.reason or with_interval(row.estimate, row.unit), f"[{style}]{found.verdict}[/{style}]"
        )
    if section.error:
        table.add_row("broke off", section.error, "")
    console.print(table)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
