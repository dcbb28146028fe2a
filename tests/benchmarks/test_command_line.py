"""``python -m benchmarks``: what it offers, and what becomes of a section that fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import SECTIONS, main
from benchmarks.bench import Bench
from benchmarks.clips import Clip
from benchmarks.report import Estimate, Row, load
from benchmarks.sections import floors
from benchmarks.sections.result import Result


def test_help_names_every_section() -> None:
    found = CliRunner().invoke(main, ["--help"])
    assert found.exit_code == 0
    assert all(name in found.output for name in (*SECTIONS, "all", "soak", "docs"))


@pytest.fixture
def one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A section that takes no time."""

    async def run(_: Bench, result: Result) -> None:
        result.rows.append(Row(id="a", title="a figure", unit="ms", estimate=Estimate(7, 6, 8, 3)))

    monkeypatch.setattr(floors, "run", run)


@pytest.mark.usefixtures("one_figure")
def test_a_section_writes_both_reports(tmp_path: Path) -> None:
    found = CliRunner().invoke(main, ["floors", "--out", str(tmp_path), "--quick"])
    assert found.exit_code == 0, found.output
    (section,) = load(tmp_path / "report.json").sections
    assert [row.title for row in section.rows] == ["a figure"]
    assert section.conditions.quick
    assert not section.conditions.gpu
    assert "a figure" in (tmp_path / "report.html").read_text("utf-8")


def test_a_section_that_fails_keeps_its_rows_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: Bench, result: Result) -> None:
        result.rows.append(Row(id="a", title="done before", unit="ms", estimate=Estimate(1, 1, 1, 1)))
        raise ExceptionGroup("tasks", [RuntimeError("the server fell over")])

    monkeypatch.setattr(floors, "run", broken)
    found = CliRunner().invoke(main, ["floors", "--out", str(tmp_path)])
    assert found.exit_code == 1
    (section,) = load(tmp_path / "report.json").sections
    assert section.error == "RuntimeError: the server fell over"
    assert [row.id for row in section.rows] == ["a"]


@pytest.mark.usefixtures("one_figure")
def test_the_document_is_written_from_a_report(tmp_path: Path) -> None:
    CliRunner().invoke(main, ["floors", "--out", str(tmp_path), "--quick"])
    document = tmp_path / "performance.md"
    document.write_text("<!-- benchmarks -->\n<!-- /benchmarks -->\n", "utf-8")
    found = CliRunner().invoke(main, ["docs", str(tmp_path / "report.json"), "--into", str(document)])
    assert found.exit_code == 0, found.output
    assert "section not run" in document.read_text("utf-8")
    assert "| a figure | 7 ms (6 to 8) |" in document.read_text("utf-8")


def test_word_errors_are_counted_after_normalising() -> None:
    from benchmarks.accuracy import wer_percent, word_errors  # noqa: PLC0415  slow to import

    clip = Clip(file="a.flac", language="en", kind="utterance", duration_s=1, text="It is ten o'clock")
    assert word_errors(clip, "it's 10 o'clock!").errors == 0
    assert wer_percent([clip, clip], ["it is ten o'clock", ""]) == pytest.approx(50)
