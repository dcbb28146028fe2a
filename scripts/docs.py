"""Writes what the documents take from the code: docs/tools.md, and each table between two comments of this form.

    <!-- table: settings server.host server.port -->
    <!-- /table -->

The words after the table's name choose rows; without any, all are shown. With ``--check`` nothing is written, and the
exit code is 1 if a document is out of date.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, cast, get_args

import msgspec
from msgspec import Struct

from engines.models.catalog import Catalog
from schemas.errors import ERRORS
from schemas.events import ClientEvent, ServerEvent
from schemas.sessions import SessionSettings, TurnSettings
from server.settings import Settings, setting_fields
from tools.docs import tools_page
from tools.registry import TOOLS

ROOT: Final = Path(__file__).resolve().parent.parent
TABLE: Final = re.compile(
    r"(?P<open><!-- table: (?P<name>\w+)(?P<keys>[^>]*) -->\n).*?(?P<close><!-- /table -->)", re.DOTALL
)
TYPES: Final = {"integer": "whole number", "boolean": "true, false", "array": "list of texts", "string": "text"}

Row = tuple[str, ...]


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    texts = {path: _filled(path.read_text("utf-8")) for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))}
    texts[ROOT / "docs" / "tools.md"] = tools_page(TOOLS)
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        print(f"{path.relative_to(ROOT)} {'is out of date; run: make docs' if '--check' in arguments else 'written'}")
        if "--check" not in arguments:
            path.write_text(texts[path], "utf-8")
    return 1 if stale and "--check" in arguments else 0


def _filled(text: str) -> str:
    def fill(match: re.Match[str]) -> str:
        head, rows = TABLES[match["name"]]
        keys = match["keys"].split()
        chosen = [row for row in rows() if not keys or row[0] in keys]
        assert len(chosen) >= len(keys), f"unknown rows in {match['open']}"
        return match["open"] + _markdown(head, chosen) + match["close"]

    return TABLE.sub(fill, text)


def _markdown(head: Row, rows: Sequence[Row]) -> str:
    first, *rest = ([f"`{row[0]}`", *row[1:]] for row in rows)
    lines = [head, ["---"] * len(head), first, *rest]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _error_rows() -> Iterator[Row]:
    for code, spec in ERRORS.items():
        yield code.value, str(spec.http_status), "yes" if spec.retryable else "no"


def _setting_rows() -> Iterator[Row]:
    sections = {section.name: section.type for section in msgspec.structs.fields(Settings)}
    for field in setting_fields():
        yield field.key, _default(field.default), _allowed(field.type), _doc(sections[field.section], field.name)


def _model_rows() -> Iterator[Row]:
    for entry in Catalog.load():
        licence = f"[{entry.licence}]({entry.licence_url})" if entry.licence_url else entry.licence
        use = "default" if entry.default else "tests" if entry.tests else "on request"
        yield entry.name, entry.title, f"{entry.size_bytes / 1e6:.0f} MB", use, licence, entry.licence_notes


def _field_rows(kind: type[Struct]) -> Callable[[], Iterator[Row]]:
    def rows() -> Iterator[Row]:
        for field in msgspec.structs.fields(kind):
            yield field.name, _default(field.default), _allowed(field.type), _doc(kind, field.name)

    return rows


def _event_rows(union: object) -> Callable[[], Iterator[Row]]:
    def rows() -> Iterator[Row]:
        for kind in cast("tuple[type[Struct], ...]", get_args(union)):
            fields = [f"`{field.name}`" for field in msgspec.structs.fields(kind) if field.name not in {"seq", "at_ms"}]
            yield str(kind.__struct_config__.tag), ", ".join(fields), _plain(inspect.getdoc(kind) or "")

    return rows


TABLES: Final[dict[str, tuple[Row, Callable[[], Iterator[Row]]]]] = {
    "errors": (("code", "HTTP status", "may a retry help?"), _error_rows),
    "settings": (("key", "default", "allowed", "meaning"), _setting_rows),
    "models": (("model", "what it is", "size", "used", "licence", "notes"), _model_rows),
    "session": (("field", "default", "allowed", "meaning"), _field_rows(SessionSettings)),
    "turn": (("field", "default", "allowed", "meaning"), _field_rows(TurnSettings)),
    "server_events": (("type", "fields", "meaning"), _event_rows(ServerEvent)),
    "client_events": (("type", "fields", "meaning"), _event_rows(ClientEvent)),
}


def _default(value: Any) -> str:  # noqa: ANN401  whatever a field holds
    if isinstance(value, Struct) or value in (None, ()):
        return ""
    return f"`{msgspec.json.encode(value).decode().strip(chr(34))}`"


def _allowed(kind: Any) -> str:  # noqa: ANN401  whatever an annotation is
    schema = msgspec.json.schema(kind)
    definitions = schema.get("$defs", {})
    choices: list[dict[str, Any]] = [choice for choice in schema.get("anyOf", [schema]) if choice.get("type") != "null"]
    return " or ".join(_described(choice, definitions) for choice in choices)


def _described(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in schema:
        return f"see {definitions[schema['$ref'].rpartition('/')[2]]['title']}"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    low, high = schema.get("minimum"), schema.get("maximum")
    text = TYPES.get(schema["type"], str(schema["type"]))
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    if "exclusiveMinimum" in schema:
        return f"{text} above {schema['exclusiveMinimum']:g}"
    if low is not None:
        return f"{text}, at least {low:g}"
    if "maxLength" in schema:
        return f"{text}, at most {schema['maxLength']} characters"
    return f"`{schema['pattern']}`" if "pattern" in schema else text


def _doc(kind: type[Struct], name: str) -> str:
    """The text under a field of a Struct."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    statements = cast("ast.ClassDef", definition).body
    for field, after in pairwise(statements):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(id=target)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ) if target == name:
                return _plain(text)
            case _:
                pass
    return ""


def _plain(text: str) -> str:
    """A docstring as a cell of a table."""
    text = re.sub(r":(?:data|class|mod|func):`~?([^`]*)`", r"`\1`", text).replace("``", "`")
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
