"""``antiphon tools``: the typed tools, their schemas and their documentation.

There is a subcommand for each tool, made from the tool's own schema; it calls a running server.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich_click import RichCommand, RichGroup

from server.cli import event_loop
from server.cli.remote import raise_for_error, remote_server
from tools.docs import tools_page
from tools.export import ToolFormat, exported
from tools.registry import TOOLS
from tools.schema import Schema, json_schema, referred, tool_info, without_null
from tools.tool import AnyTool
from tools.words import default_words

DEFAULT_URL: Final = "http://127.0.0.1:8080"
_FILE_MARK: Final = "@"
_BASE64: Final = "contentEncoding"


@click.group(cls=RichGroup)
def tools() -> None:
    """The typed tools for agents: call them, show their schemas.

    \b
    Examples:
      antiphon tools list
      antiphon tools transcribe --audio @speech.wav
      antiphon tools synthesize --text "Hello there." --out hello.wav
      antiphon tools schema say
      antiphon tools export --format openai-strict
    """  # noqa: D301 - the character \b keeps click from joining lines


@tools.command("list", cls=RichCommand)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the schemas.")
def list_tools(*, as_json: bool) -> None:
    """Show every tool."""
    if as_json:
        click.echo(_formatted([tool_info(tool) for tool in TOOLS]))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("tool", no_wrap=True)
    table.add_column("does")
    for tool in TOOLS:
        table.add_row(Text(tool.name, style="cyan"), tool.description.partition(". ")[0].rstrip("."))
    Console().print(table)


@tools.command("docs", cls=RichCommand)
def print_docs() -> None:
    """Print the documentation page, docs/tools.md."""
    click.echo(tools_page(TOOLS), nl=False)


@tools.command("schema", cls=RichCommand)
@click.argument("name", type=click.Choice([tool.name for tool in TOOLS]))
def print_schema(name: str) -> None:
    """Print the JSON Schemas of a tool's arguments and result."""
    click.echo(_formatted(tool_info(TOOLS[name])))


@tools.command("export", cls=RichCommand)
@click.option(
    "--format",
    "tool_format",
    type=click.Choice([one.value for one in ToolFormat]),
    required=True,
    help="Whose: see docs/tools.md.",
)
def export_tools(tool_format: str) -> None:
    """Print the tools in the format of whoever is to call them."""
    click.echo(exported(TOOLS, ToolFormat(tool_format)), nl=False)


class _Text(click.ParamType[str]):
    """A text, or ``@FILE`` for what is in a file; ``@-`` for standard input and ``@@`` for a text that begins with @.

    Args:
        is_base64: Whether a file is to be encoded.
    """

    name = "text"

    def __init__(self, *, is_base64: bool) -> None:
        self._is_base64 = is_base64

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value.startswith(_FILE_MARK):
            return value
        rest = value.removeprefix(_FILE_MARK)
        if rest.startswith(_FILE_MARK):
            return rest
        try:
            with click.open_file(rest, "rb") as file:
                data = file.read()
            return base64.b64encode(data).decode() if self._is_base64 else data.decode()
        except OSError as error:
            self.fail(f"{rest} cannot be read: {error.strerror}.", param, ctx)
        except UnicodeDecodeError:
            self.fail(f"{rest} is not a text in UTF-8.", param, ctx)


class _Json(click.ParamType[object]):
    """An object as JSON."""

    name = "json"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> object:
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            self.fail(f"this is not valid JSON: {error}.", param, ctx)


def _audio_of(base64_audio: str | None) -> bytes:
    if base64_audio is None:
        raise click.UsageError("--out saves audio that is in the result; leave out --audio-as link.")
    return base64.b64decode(base64_audio)


def _command(tool: AnyTool) -> click.Command:
    """The subcommand of a tool."""
    result_audio = [name for name, field in json_schema(tool.output)["properties"].items() if _BASE64 in field]

    def call(url: str, *, as_json: bool, out: Path | None = None, **options: object) -> None:
        arguments = {name: value for name, value in options.items() if value is not None and value != ()}
        result = event_loop.run(_call, url, tool.name, arguments)
        if out is not None:
            out.write_bytes(_audio_of(result[result_audio[0]]))
        if as_json:
            click.echo(_formatted(result))
            return
        for name in result_audio:
            if result[name] is not None:
                result[name] = f"({len(result[name])} characters of base64; --out FILE saves the audio)"
        Console(soft_wrap=True).print_json(msgspec.json.encode(result).decode())

    surroundings = [
        click.Option(
            ["--url"],
            default=DEFAULT_URL,
            show_default=True,
            envvar="ANTIPHON_URL",
            show_envvar=True,
            metavar="URL",
            help="Where the server is.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON, complete."),
    ]
    if result_audio:
        file = click.Path(path_type=Path, dir_okay=False, writable=True)
        surroundings.append(click.Option(["--out"], type=file, help="Save the audio in this file."))
    return RichCommand(
        name=tool.name,
        callback=call,
        params=[*_options(json_schema(tool.input)), *surroundings],
        help=tool.description,
        short_help=tool.title,
    )


async def _call(url: str, name: str, arguments: Mapping[str, object]) -> dict[str, Any]:
    async with remote_server(url) as server:
        response = await server.post(f"/v1/tools/{name}", json=arguments)
        await raise_for_error(response)
        return response.json()


def _options(schema: Schema) -> list[click.Option]:
    return [
        _option(name, field, schema.get("$defs", {}), is_required=name in schema["required"])
        for name, field in schema["properties"].items()
    ]


def _option(name: str, field: Schema, definitions: Mapping[str, Schema], *, is_required: bool) -> click.Option:
    flag = f"--{name.replace('_', '-')}"
    plain = _plain(field, definitions)
    is_list = plain.get("type") == "array"
    is_flag = plain.get("type") == "boolean"
    # Left out, it is not sent. Click takes any default, None too, for a value of what is required.
    default: dict[str, Any] = {} if is_required else {"default": None}
    return click.Option(
        [f"{flag}/--no-{flag[2:]}" if is_flag else flag, name],
        type=bool if is_flag else _type(_plain(plain["items"], definitions) if is_list else plain),
        multiple=is_list,
        required=is_required,
        **default,
        metavar="JSON" if "properties" in plain else None,
        help=_help(field, plain, is_list=is_list),
    )


def _plain(field: Mapping[str, Any], definitions: Mapping[str, Schema]) -> Mapping[str, Any]:
    """The schema of a value that is given: without null, and without references."""
    return referred(without_null(field), definitions)


def _type(schema: Mapping[str, Any]) -> click.ParamType[Any]:
    if "enum" in schema:
        return click.Choice(schema["enum"])
    match schema["type"]:
        case "integer":
            return click.IntRange(schema.get("minimum"), schema.get("maximum"))
        case "number":
            lowest = schema.get("minimum", schema.get("exclusiveMinimum"))
            return click.FloatRange(lowest, schema.get("maximum"), min_open="exclusiveMinimum" in schema)
        case "object":
            return _Json()
        case _:
            return _Text(is_base64=_BASE64 in schema)


def _help(field: Mapping[str, Any], plain: Mapping[str, Any], *, is_list: bool) -> str:
    description = field.get("description") or plain.get("description", "")
    default = default_words(field)
    notes = [
        *(["Can be repeated."] if is_list else []),
        *(["@FILE takes a file."] if _BASE64 in plain else []),
        *([f"[default: {default.strip(chr(34))}]"] if default not in {"", "null", "[]"} else []),
    ]
    return " ".join([description, *notes])


def _formatted(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value)).decode()


for _tool in TOOLS:
    tools.add_command(_command(_tool))
