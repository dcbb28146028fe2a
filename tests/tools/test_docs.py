from __future__ import annotations

from pathlib import Path

from tools.docs import tools_page
from tools.registry import TOOLS
from tools.schema import json_schema


def test_the_page_in_the_repository_is_up_to_date(root: Path) -> None:
    assert (root / "docs" / "tools.md").read_text("utf-8") == tools_page(TOOLS), "run: make docs"


def test_the_page_has_every_tool_and_argument() -> None:
    page = tools_page(TOOLS)
    for tool in TOOLS:
        section = page.split(f"\n## {tool.name}\n")[1].split("\n## ")[0]
        assert tool.description in section
        for kind in (tool.input, tool.output):
            assert all(f"| `{name}` |" in section for name in json_schema(kind)["properties"])


def test_every_link_of_the_page_has_a_target() -> None:
    page = tools_page(TOOLS)
    headings = {line.lstrip("# ").lower() for line in page.splitlines() if line.startswith("#")}
    links = {part.partition(")")[0] for part in page.split("](#")[1:]}
    assert links <= headings
