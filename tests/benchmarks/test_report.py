"""The report: rows, verdicts, what becomes of sections that are run again."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from benchmarks import document
from benchmarks.numbers_text import shown, with_interval
from benchmarks.page import page
from benchmarks.report import Conditions, Estimate, Plot, Report, Row, Section, Series, load, save
from benchmarks.targets import TARGETS


def conditions(*, quick: bool = False, others_load: float = 0.0) -> Conditions:
    return Conditions(
        started_at="2026-11-24T00:00:00+00:00",
        commit="abc1234",
        cpu="A <processor>",
        cores=2,
        memory_gib=24.0,
        python="3.11.7",
        versions={"antiphon": "0.1.0"},
        others_load=others_load,
        device="cpu",
        compute_type="int8",
        quick=quick,
    )


def row(row_id: str, value: float, low: float, high: float) -> Row:
    return Row(id=row_id, title="A | title", unit="×", estimate=Estimate(value, low, high, 20))


def section(*rows: Row, name: str = "asr", plots: tuple[Plot, ...] = ()) -> Section:
    return Section(name=name, conditions=conditions(), took_s=12.0, rows=rows, plots=plots)


@pytest.mark.parametrize(
    ("estimate", "verdict"),
    [
        ((5.0, 4.5, 5.5), "met"),
        ((4.2, 3.9, 4.5), "met, within noise"),
        ((3.9, 3.5, 4.1), "missed, within noise"),
        ((3.0, 2.9, 3.1), "missed"),
    ],
)
def test_a_verdict_says_whether_noise_may_have_decided_it(estimate: tuple[float, float, float], verdict: str) -> None:
    assert row("asr.trimmed.greedy.n8", *estimate).verdict == verdict


def test_what_was_not_measured_has_no_verdict_but_a_reason() -> None:
    assert Row(id="asr.trimmed.greedy.n8", title="", unit="×", reason="no model").verdict == "not measured"


def test_rows_without_a_target_are_not_judged() -> None:
    assert row("something.else", 1, 1, 1).verdict == ""


def test_a_section_that_is_run_again_takes_the_place_of_its_older_self(tmp_path: Path) -> None:
    report = Report().with_section(section(row("asr.trimmed.greedy.n8", 1, 1, 1)))
    report = report.with_section(section(name="tts")).with_section(section(row("asr.trimmed.greedy.n8", 5, 5, 5)))
    save(report, tmp_path / "out" / "report.json")
    found = load(tmp_path / "out" / "report.json")
    assert found == report
    assert [one.name for one in found.sections] == ["tts", "asr"]
    kept = found.row("asr.trimmed.greedy.n8")
    assert kept is not None
    assert kept.verdict == "met"


def test_a_report_that_is_missing_or_damaged_is_begun_anew(tmp_path: Path) -> None:
    damaged = tmp_path / "report.json"
    damaged.write_text("{", "utf-8")
    assert load(tmp_path / "none.json") == load(damaged) == Report()


def test_the_page_shows_every_target_and_loads_nothing() -> None:
    plot = Plot(title="A plot", x_label="pair", y_label="×", series=(Series("ours", (1, 2), (4, 5)),), bound=4)
    shares = Plot(title="Shares", x_label="ms", y_label="share", series=(Series("a", (), (1, 2)),), style="ecdf")
    points = Plot(title="Points", x_label="a", y_label="b", series=(Series("a", (1,), (1,)),), style="points")
    text = page(Report().with_section(section(row("asr.trimmed.greedy.n8", 5, 4.5, 5.5), plots=(plot, shares, points))))
    assert all(target.text in text for target in TARGETS.values())
    assert text.count("<svg") == 3
    assert "A &lt;processor&gt;" in text
    assert "5× (4.50× to 5.50×)" in text or "5× (4.50 to 5.50)" in text
    assert "src=" not in text
    assert "<link" not in text


def test_the_page_warns_of_quick_runs_of_noise_and_of_sections_that_broke_off() -> None:
    noisy = Section(name="tts", conditions=conditions(quick=True, others_load=3.0), took_s=1, error="it fell over")
    text = page(Report().with_section(noisy))
    assert "it fell over" in text
    assert "A quick run" in text
    assert "busy with something else" in text


def test_the_document_has_the_figures_of_the_report_between_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "performance.md"
    path.write_text("before\n<!-- benchmarks -->\nold\n<!-- /benchmarks -->\nafter\n", "utf-8")
    report = Report().with_section(section(row("asr.trimmed.greedy.n8", 5, 4.5, 5.5), row("further", 1, 1, 1)))
    document.write(report, path)
    text = path.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "5× (4.50 to 5.50) | met |" in text
    assert "A \\| title" in text
    assert "`python -m benchmarks asr`" in text
    document.write(report, path)
    assert path.read_text("utf-8") == text


def test_figures_of_a_gpu_have_a_place_of_their_own_and_no_targets(tmp_path: Path) -> None:
    path = tmp_path / "performance.md"
    path.write_text(
        "<!-- benchmarks -->\nof the CPU\n<!-- /benchmarks -->\n"
        "<!-- benchmarks on a GPU -->\nold\n<!-- /benchmarks on a GPU -->\n",
        "utf-8",
    )
    there = replace(conditions(), device="cuda", compute_type="float16", gpu="H200")
    measured = replace(section(row("asr.trimmed.greedy.n8", 5, 4.5, 5.5)), conditions=there)
    document.write(Report().with_section(measured), path)
    text = path.read_text("utf-8")
    assert "of the CPU" in text
    assert "old" not in text
    assert "5× (4.50 to 5.50)" in text
    assert "met" not in text
    assert "`python -m benchmarks asr --device cuda --compute-type float16`" in text
    assert "H200, float16" in text


def test_figures_of_two_devices_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "performance.md"
    path.write_text("<!-- benchmarks -->\n<!-- /benchmarks -->\n", "utf-8")
    there = replace(section(name="turn"), conditions=replace(conditions(), device="cuda"))
    with pytest.raises(ValueError, match="--out of its own"):
        document.write(Report().with_section(section()).with_section(there), path)


def test_a_document_without_marks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "performance.md"
    path.write_text("nothing", "utf-8")
    with pytest.raises(ValueError, match="has no"):
        document.write(Report(), path)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (4.256, "×", "4.26×"),
        (38.24, "ms", "38.2 ms"),
        (1234.6, "MB", "1\u202f235 MB"),
        (-0.25, "points", "\u22120.25 points"),
        (300.0, "sessions", "300 sessions"),
    ],
)
def test_figures_have_as_many_digits_as_mean_something(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text


def test_an_interval_without_width_is_not_shown() -> None:
    assert with_interval(Estimate(3, 3, 3, 1), "ms") == "3 ms"
    assert with_interval(None, "ms") == "not measured"


def test_every_target_says_its_bound() -> None:
    assert {target.text for target in TARGETS.values()} >= {"≥ 4×", "≤ 250 ms", "≤ 0.3 points"}
    assert TARGETS["turn.p50"].holds(250)
    assert not TARGETS["turn.p50"].holds(251)
    assert TARGETS["sessions.per_core"].holds(300)
