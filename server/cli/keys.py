"""``antiphon keys``: the API keys that callers come in by."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich_click import RichGroup

from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Quotas, Scope, Tenant
from server.auth.keys import KeyFile, KeyRecord, default_keys_path


@click.group(cls=RichGroup)
@click.option(
    "--keys-file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="ANTIPHON_AUTH_KEYS_FILE",
    show_envvar=True,
    default=default_keys_path,
    show_default="in the user's data folder",
    help="The file of the keys' hashes; the server's auth.keys_file.",
)
@click.pass_context
def keys(context: click.Context, keys_file: Path) -> None:
    """Make, list and revoke API keys. A running server notices within seconds.

    \b
    Examples:
      antiphon keys create "phone menu" --tenant acme --sessions 10 --requests-per-min 600
      antiphon keys create prometheus --scope metrics
      antiphon keys revoke 3f2a9c01b7de
    """  # noqa: D301 - the character \b keeps click from joining lines
    context.obj = KeyFile(keys_file)


@keys.command()
@click.argument("name")
@click.option("--tenant", default="default", show_default=True, help="Whose the sessions are that it opens.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    default=[Scope.AUDIO.value, Scope.SESSIONS.value],
    show_default=True,
    help="What it may be used for. Can be repeated.",
)
@click.option("--requests-per-min", type=click.IntRange(1), help="Requests; as many may come at once.")
@click.option("--concurrent-requests", type=click.IntRange(1), help="Requests and streams open at the same time.")
@click.option("--sessions", type=click.IntRange(1), help="Sessions open at the same time.")
@click.option("--audio-s-per-hour", type=click.FloatRange(0, min_open=True), help="Audio heard and spoken.")
@click.option("--json", "as_json", is_flag=True, help="The key and its record, as JSON.")
@click.pass_obj
def create(
    file: KeyFile, name: str, *, tenant: str, scopes: tuple[str, ...], as_json: bool, **quotas: float | None
) -> None:
    """Make a key and show it, this once. NAME says what it is for."""
    try:
        msgspec.convert(tenant, Tenant)
    except msgspec.ValidationError as error:
        raise SpeechError(
            ErrorCode.INVALID_REQUEST, "A tenant is letters, digits and . _ : @ / -, at most 128, as in acme."
        ) from error
    key, record = file.create(
        name=name,
        tenant=tenant,
        scopes=[Scope(scope) for scope in dict.fromkeys(scopes)],
        quotas=msgspec.convert(quotas, Quotas),
    )
    if as_json:
        click.echo(msgspec.json.encode({"key": key, **_shown(record)}))
        return
    click.echo(key)
    click.echo(f"This is shown only now. Key {record.id} of tenant {tenant}: {', '.join(record.scopes)}.", err=True)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a key.")
@click.pass_obj
def list_keys(file: KeyFile, *, as_json: bool) -> None:
    """Show the keys there are, without their secrets."""
    records = file.read()
    if as_json:
        for record in records:
            click.echo(msgspec.json.encode(_shown(record)))
        return
    table = Table("id", "name", "tenant", "scopes", "quotas", "made", "revoked")
    for record in records:
        own = msgspec.structs.asdict(record.quotas).items()
        quotas = ", ".join(f"{name} {value:g}" for name, value in own if value is not None)
        table.add_row(
            record.id,
            record.name,
            record.tenant,
            ", ".join(record.scopes),
            quotas,
            record.created_at,
            record.revoked_at or "",
        )
    Console().print(table)


@keys.command()
@click.argument("key_id", metavar="ID")
@click.pass_obj
def revoke(file: KeyFile, key_id: str) -> None:
    """Let nobody in by the key ID any more, and end the streams it began."""
    record = file.revoke(key_id)
    click.echo(f"{record.id} ({record.name}) is revoked")


def _shown(record: KeyRecord) -> dict[str, object]:
    return {name: value for name, value in msgspec.structs.asdict(record).items() if name != "sha256"}
