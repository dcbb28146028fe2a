"""``antiphon eval``: measures how well conversations go."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from rich_click import RichCommand, RichGroup

from evals.turns.dialogue import Split
from schemas.errors import ErrorCode, SpeechError
from server.cli import event_loop
from server.cli.settings_options import settings_from, settings_options

if TYPE_CHECKING:
    from evals.report import Report

_NEEDED: Final = ("jinja2", "matplotlib", "scipy")
_JSON: Final = "report.json"
_HTML: Final = "report.html"
_STYLES: Final = {"met": "bold green", "missed": "bold red", "": "bold"}


@click.group("eval", cls=RichGroup)
def evaluate() -> None:
    """Measure how well conversations go."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise SpeechError(
            ErrorCode.MISSING_EXTRA,
            f"Evaluation needs packages that are missing ({', '.join(missing)}). Run: pip install 'antiphon[evals]'",
        )


@evaluate.command(cls=RichCommand)
@click.option(
    "--target",
    default="inproc",
    show_default=True,
    metavar="inproc|URL",
    help="The server to talk to: one of this machine for as long as it lasts, or one that runs.",
)
@click.option("--split", type=click.Choice([one.value for one in Split]), default="test", show_default=True)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("eval-out"), show_default=True
)
@click.option("--seed", type=int, default=0, show_default=True, help="Draws pauses, noise and who speaks.")
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
@click.option("--key", envvar="ANTIPHON_API_KEY", help="API key of the server. [env: ANTIPHON_API_KEY]")
@click.option(
    "--recordings",
    "speech_dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    envvar="ANTIPHON_SPEECH_DIR",
    help="Folder of recordings with manifest.jsonl. [env: ANTIPHON_SPEECH_DIR]",
)
@click.option("--quick", is_flag=True, help="A few of everything: shows that all works, not how well.")
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
    quick: bool,
    **flags: object,
) -> None:
    """Measure turn-taking: simulated users talk to a server, and what it does is held against what they did.

    Leaves report.json and report.html. Speech is rendered once and kept in the user's cache folder.
    """
    from evals.page import page  # noqa: PLC0415  needs the extra
    from evals.report import save  # noqa: PLC0415
    from server.evaluation.turns import TurnsWish, evaluate_turns  # noqa: PLC0415

    settings = settings_from(config, flags).settings
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
        server_options=_server_options(config, flags),
    )
    out.mkdir(parents=True, exist_ok=True)
    # As Ctrl-C: the server that was started must not outlive the run.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    report = event_loop.run(evaluate_turns, wish, settings, _tracker(console))
    save(report, out / _JSON)
    (out / _HTML).write_text(page(report), "utf-8")
    _print(console, report)
    console.print(Text(f"{out / _JSON}\n{out / _HTML}", style="cyan"))


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


def _server_options(config: Path | None, flags: Mapping[str, object]) -> tuple[str, ...]:
    names = {"models__dir": "--models-dir", "engine__device": "--device", "engine__compute_type": "--compute-type"}
    options = [f"{names[key]}={value}" for key, value in flags.items() if value is not None]
    return (*options, *([f"--config={config}"] if config else []))


def _tracker(console: Console) -> Callable[[str, int], AbstractContextManager[Callable[[int], None]]]:
    @contextmanager
    def track(title: str, steps: int) -> Generator[Callable[[int], None]]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task(title, total=steps)
            yield lambda done: progress.advance(task, done)

    return track


def _print(console: Console, report: Report) -> None:
    from evals.page import bound, figure  # noqa: PLC0415

    for section in report.sections:
        table = Table(title=section.title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for name in ("figure", "measured", "target", "n", "beside it"):
            table.add_column(name)
        for row in section.rows:
            beside = "; ".join(f"{name} {figure(value, row.unit)}" for name, value in row.beside.items())
            table.add_row(
                row.title,
                Text(figure(row.estimate, row.unit), style=_STYLES[row.verdict]),
                f"{row.target.sense} {bound(row.target.bound, row.unit)}" if row.target else "",
                str(row.estimate.n) if row.estimate else "",
                Text(beside, style="dim"),
            )
        console.print(table, "")
        for note in section.notes:
            console.print(Text(note, style="dim"))
