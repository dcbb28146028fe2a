"""The documents say what the code does: their tables, links, messages and commands are checked."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, cast, get_args

import click
import msgspec
import pytest

from schemas.errors import ErrorDetail
from schemas.events import ClientEvent, ServerEvent
from server.cli.main import antiphon

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
BY_NAME = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
FENCE = re.compile(r"^```(?P<language>[^\n]*)\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(document: Path, language: str) -> list[str]:
    found = FENCE.finditer(document.read_text("utf-8"))
    return [match["code"] for match in found if match["language"] == language]


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_tables_are_those_of_the_code() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "docs.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@BY_NAME
def test_every_link_within_the_repository_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", FENCE.sub("", document.read_text("utf-8"))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = document.parent / path if path else document
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@BY_NAME
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    text = document.read_text("utf-8")
    named = set(re.findall(r"`make ([a-z-]+)`", text)) | set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))
    assert named <= targets


@BY_NAME
def test_every_antiphon_command_that_is_named_exists(document: Path) -> None:
    text = document.read_text("utf-8")
    lines = re.findall(r"`(antiphon [^`]+)`", text) + re.findall(
        r"^(antiphon .+)$", "\n".join(blocks(document, "bash"))
    )
    for line in lines:
        command: click.Command = antiphon
        for word in shlex.split(line.replace("…", ""))[1:]:
            if not isinstance(command, click.Group) or word.startswith("-") or word.isupper():
                break
            _, resolved, _ = command.resolve_command(click.Context(command), [word])
            assert resolved is not None, line
            command = resolved


@pytest.mark.parametrize(("side", "union"), [("server", ServerEvent), ("client", ClientEvent)])
def test_messages_in_the_documentation_are_valid_and_complete(side: str, union: Any) -> None:
    lines = [line for block in blocks(ROOT / "docs/http-api.md", f"json {side}") for line in block.splitlines()]
    assert lines
    for line in lines:
        event = msgspec.json.decode(line, type=union)
        if side == "server":
            assert set(msgspec.json.decode(msgspec.json.encode(event))) == set(msgspec.json.decode(line)), line


def test_every_client_event_is_shown() -> None:
    text = "".join(blocks(ROOT / "docs/http-api.md", "json client"))
    for kind in cast("tuple[type[msgspec.Struct], ...]", get_args(ClientEvent)):
        assert f'"type": "{kind.__struct_config__.tag}"' in text


def test_the_error_in_the_documentation_has_the_fields_of_errors() -> None:
    (block,) = blocks(ROOT / "docs/http-api.md", "json")
    error = msgspec.json.decode(block)["error"]
    assert set(error) == {field.name for field in msgspec.structs.fields(ErrorDetail)}


def test_every_decision_is_listed(root: Path) -> None:
    index = (root / "docs/adr/README.md").read_text("utf-8")
    records = sorted(path.name for path in (root / "docs/adr").glob("[0-9]*.md"))
    assert re.findall(r"\]\((\d{4}[^)]+)\)", index) == records
