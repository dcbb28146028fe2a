"""``antiphon replay``: a session's turn-taking, decided again from its decision log."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import click
import msgspec
from msgspec import Raw, Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich_click import RichCommand

from schemas.errors import ErrorCode, SpeechError
from session.counterfactual import TurnEnd, changed_settings, counterfactual
from session.decision_log import DecisionLog, read_decision_log, written_decision_log
from session.redaction import Redactor
from session.replay import Difference, Replay, redact, replay
from session.turn_state import ms_of_samples

_LogFile = click.Path(path_type=Path, dir_okay=False, exists=True)
_NewFile = click.Path(path_type=Path, dir_okay=False, writable=True)
_SHOWN: Final = 3
"""Differences in a terminal; ``--json`` has more."""


class _Report(Struct, frozen=True, kw_only=True):
    """What ``--json`` prints of a replay."""

    session_id: str
    part: int
    antiphon: str
    events: int
    differing: int
    differences: tuple[_Difference, ...]


class _Difference(Struct, frozen=True, kw_only=True):
    seq: int
    at_ms: int
    event: Any
    recorded: Raw
    replayed: Raw


@click.command(name="replay", cls=RichCommand)
@click.argument("log", type=_LogFile)
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Show when turns would have ended with this setting."
)
@click.option("--redact", "redacted", type=_NewFile, metavar="OUT", help="Write the log without what was said.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def replay_log(
    context: click.Context, log: Path, *, changes: tuple[str, ...], redacted: Path | None, as_json: bool
) -> None:
    """Run the decisions of LOG again, and compare them byte for byte.

    LOG is a file of the folder decision_log.dir. The exit status is 1 if anything differs. With --set nothing is
    compared: it is shown which turns would have ended when. That is open loop, since people and programs would have
    acted otherwise.

    \b
    Examples:
      antiphon replay ses_k3….1.jsonl
      antiphon replay ses_k3….1.jsonl --set profile=fast
      antiphon replay ses_k3….1.jsonl --redact shareable.jsonl
    """  # noqa: D301 - the character \b keeps click from joining lines
    read = read_decision_log(log.read_bytes())
    if changes:
        _print_counterfactual(read, changes, as_json=as_json)
        return
    result = replay(read)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_report(read, result))).decode())
    else:
        _print(read, result)
    if redacted is not None:
        _write_redacted(read, redacted)
    if result.differing:
        context.exit(1)


def _print_counterfactual(log: DecisionLog, changes: tuple[str, ...], *, as_json: bool) -> None:
    values = {key: value for key, _, value in (change.partition("=") for change in changes)}
    ends = counterfactual(log, changed_settings(log.header.settings, values))
    if as_json:
        report = {"open_loop": True, "session_id": log.header.session_id, "set": values, "ends": ends}
        click.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
        return
    title = "Open loop: people and programs do what they did under the settings of the log."
    table = Table("speech ends at", "in the log after", f"with {', '.join(changes)} after", "", title=title)
    for column in table.columns[:3]:
        column.justify = "right"
    for end in ends:
        table.add_row(
            f"{end.speech_end_ms / 1000:.2f} s", _silence(end.logged_ms), _silence(end.counterfactual_ms), _change(end)
        )
    console = Console()
    console.print(table)
    console.print(_summary(ends))


def _silence(silence_ms: int | None) -> str:
    return "–" if silence_ms is None else f"{silence_ms} ms"


def _change(end: TurnEnd) -> Text:
    if end.logged_ms is None:
        return Text("would have ended here", style="red")
    if end.counterfactual_ms is None:
        return Text("would have gone on", style="yellow")
    later_ms = end.counterfactual_ms - end.logged_ms
    if later_ms == 0:
        return Text("as it was", style="dim")
    return Text(f"{abs(later_ms)} ms sooner", style="green") if later_ms < 0 else Text(f"{later_ms} ms later")


def _summary(ends: Sequence[TurnEnd]) -> str:
    logged = [end.logged_ms for end in ends if end.logged_ms is not None]
    other = [end.counterfactual_ms for end in ends if end.counterfactual_ms is not None]
    return f"{len(logged)} turns ended, after {_median(logged)}. {len(other)} would have, after {_median(other)}."


def _median(silences_ms: Sequence[int]) -> str:
    return f"{round(median(silences_ms))} ms in the median" if silences_ms else "–"


def _write_redacted(log: DecisionLog, out: Path) -> None:
    without_texts = redact(log, Redactor())
    if replay(without_texts).differing != replay(log).differing:
        raise SpeechError(
            ErrorCode.INTERNAL, "Without its texts this log is decided differently; nothing was written. Report this."
        )
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(written_decision_log(without_texts))
    except FileExistsError as error:
        raise SpeechError(ErrorCode.INVALID_REQUEST, f"{out} is there already; name a new file.") from error


def _report(log: DecisionLog, result: Replay) -> _Report:
    return _Report(
        session_id=log.header.session_id,
        part=log.header.part,
        antiphon=log.header.antiphon,
        events=result.events,
        differing=result.differing,
        differences=tuple(
            _Difference(
                seq=difference.entry.seq,
                at_ms=ms_of_samples(difference.entry.t),
                event=difference.entry.event,
                recorded=difference.entry.actions,
                replayed=Raw(difference.replayed),
            )
            for difference in result.differences
        ),
    )


def _print(log: DecisionLog, result: Replay) -> None:
    console = Console(soft_wrap=True, highlight=False)
    if log.is_torn:
        console.print(Text("The last line was cut off; the log ends before it.", style="yellow"))
    if not result.differing:
        console.print(Text(f"{result.events} events, and after each of them the same actions.", style="green"))
        return
    for difference in result.differences[:_SHOWN]:
        console.print(_described(difference))
    console.print(
        Text(
            f"{result.differing} of {result.events} events have other actions. The log was written by Antiphon "
            f"{log.header.antiphon}.",
            style="red",
        )
    )


def _described(difference: Difference) -> Text:
    entry = difference.entry
    event = msgspec.json.encode(entry.event).decode()
    return Text.assemble(
        (f"event {entry.seq} at {ms_of_samples(entry.t) / 1000:.3f} s: ", "bold"),
        f"{event}\n",
        ("- ", "red"),
        (f"{bytes(entry.actions).decode()}\n", "red"),
        ("+ ", "green"),
        (difference.replayed.decode(), "green"),
    )
