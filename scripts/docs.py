"""Writes what the documents take from the code, and the exports of the tools that the tests compare with.

These are docs/tools.md, tests/tools/exports, and each table between two comments of this form:

    <!-- table: settings server.host server.port -->
    <!-- /table -->

The words after the table's name choose rows; without any, all are shown. With ``--check`` nothing is written, and the
exit code is 1 if a document is out of date.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, cast, get_args

import msgspec
from msgspec import Struct

from engines.models.catalog import Catalog
from schemas.errors import ERRORS
from schemas.events import ClientEvent, ServerEvent
from schemas.sessions import SessionSettings, TurnSettings
from server.settings import Settings, setting_fields
from session.end_of_turn import WEIGHTS as END_OF_TURN
from tools.docs import tools_page
from tools.export import ToolFormat, exported
from tools.registry import TOOLS
from tools.schema import field_docstrings, json_schema, without_null
from tools.words import default_words, type_words

ROOT: Final = Path(__file__).resolve().parent.parent
TABLE: Final = re.compile(
    r"(?P<open><!-- table: (?P<name>\w+)(?P<keys>[^>]*) -->\n).*?(?P<close><!-- /table -->)", re.DOTALL
)

Row = tuple[str, ...]


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    texts = {path: _filled(path.read_text("utf-8")) for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))}
    texts[ROOT / "docs" / "tools.md"] = tools_page(TOOLS)
    for name in ToolFormat:
        texts[ROOT / "tests" / "tools" / "exports" / f"{name}.json"] = exported(TOOLS, name).decode()
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
    fields = {
        section.name: dict(zip(_names(section.type), _described_fields(section.type), strict=True))
        for section in msgspec.structs.fields(Settings)
    }
    for field in setting_fields():
        yield field.key, *fields[field.section][field.name]


def _model_rows() -> Iterator[Row]:
    for entry in Catalog.load():
        licence = f"[{entry.licence}]({entry.licence_url})" if entry.licence_url else entry.licence
        use = "default" if entry.default else "tests" if entry.tests else "on request"
        yield entry.name, entry.title, f"{entry.size_bytes / 1e6:.0f} MB", use, licence, entry.licence_notes


def _field_rows(kind: type[Struct]) -> Callable[[], Iterator[Row]]:
    def rows() -> Iterator[Row]:
        for name, described in zip(_names(kind), _described_fields(kind), strict=True):
            yield name, *described

    return rows


def _names(kind: type[Struct]) -> list[str]:
    return [field.name for field in msgspec.structs.fields(kind)]


def _described_fields(kind: type[Struct]) -> Iterator[Row]:
    """Default, allowed values and meaning of each field."""
    docstrings = field_docstrings(kind)
    for name, field in json_schema(kind)["properties"].items():
        default = default_words(field)
        is_given = default not in {"", "null", "[]"}
        meaning = _markdown_text(docstrings[name]) if name in docstrings else field.get("description", "")
        yield f"`{default.strip(chr(34))}`" if is_given else "", type_words(without_null(field)), meaning


def _event_rows(union: object) -> Callable[[], Iterator[Row]]:
    def rows() -> Iterator[Row]:
        for kind in cast("tuple[type[Struct], ...]", get_args(union)):
            fields = [f"`{field.name}`" for field in msgspec.structs.fields(kind) if field.name not in {"seq", "at_ms"}]
            yield str(kind.__struct_config__.tag), ", ".join(fields), _markdown_text(inspect.getdoc(kind) or "")

    return rows


def _deadline_rows() -> Iterator[Row]:
    for least, silence_ms in END_OF_TURN.deadlines:
        yield f"{least:g}", f"{silence_ms} ms"


def _markdown_text(docstring: str) -> str:
    text = re.sub(r":(?:data|class|mod|func):`~?([^`]*)`", r"`\1`", docstring).replace("``", "`")
    return " ".join(text.split())


TABLES: Final[dict[str, tuple[Row, Callable[[], Iterator[Row]]]]] = {
    "errors": (("code", "HTTP status", "may a retry help?"), _error_rows),
    "settings": (("key", "default", "allowed", "meaning"), _setting_rows),
    "models": (("model", "what it is", "size", "used", "licence", "notes"), _model_rows),
    "session": (("field", "default", "allowed", "meaning"), _field_rows(SessionSettings)),
    "turn": (("field", "default", "allowed", "meaning"), _field_rows(TurnSettings)),
    "deadlines": (("probability, at least", "silence"), _deadline_rows),
    "server_events": (("type", "fields", "meaning"), _event_rows(ServerEvent)),
    "client_events": (("type", "fields", "meaning"), _event_rows(ClientEvent)),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
