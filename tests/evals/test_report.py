import json
import re
from pathlib import Path

import numpy as np
import pytest

from evals.clip import stereo_mp3
from evals.figures import figure
from evals.intervals import Estimate
from evals.junit import junit
from evals.markdown import markdown
from evals.output import begun, write
from evals.page import page
from evals.plots import svg
from evals.report import Case, Conditions, Mark, Measured, Plot, Report, Row, Section, Series, Table, Target, load, save
from evals.samples import Ratio, Sample, read_samples
from evals.turns.conversation_figures import class_plot, conversation_rows, latency_plot
from evals.turns.dialogue import Intent
from evals.turns.outcomes import Outcomes, OverlapOutcome, TurnOutcome
from schemas.errors import SpeechError

HEADLINES = ("latency_p50", "cutoffs", "yield_rate", "right.backchannel", "heard_error_p95")


def overlap(intent: Intent, *, yielded: bool) -> OverlapOutcome:
    return OverlapOutcome(
        conversation=0,
        place=0,
        intent=intent,
        text="",
        has_echo=False,
        start_samples=0,
        yielded=yielded,
        silent_ms=300.0 if yielded else None,
        ducked_ms=100.0,
        paused=True,
        resumed_ms=None,
    )


def found() -> Outcomes:
    return Outcomes(
        turns=tuple(
            TurnOutcome(
                conversation=n, place=0, channel="clean", text="", end_samples=0, latency_ms=ms, talked_into=False
            )
            for n, ms in enumerate((300.0, 450.0, None))
        ),
        overlaps=(
            overlap(Intent.STOP, yielded=True),
            overlap(Intent.INTERRUPT, yielded=False),
            overlap(Intent.BACKCHANNEL, yielded=False),
        ),
        minutes=10.0,
    )


def report() -> Report:
    silence = np.zeros(16_000, np.float32)
    case = Case(title="It <went> on", text="a & b", mp3=stereo_mp3(silence, silence))
    section = Section(
        name="conversations",
        title="Conversations",
        took_s=1.0,
        rows=tuple(conversation_rows(found(), "conversations")),
        plots=(latency_plot([("turns", [300.0, 450.0])], "Latency"), class_plot(found(), "Classes")),
        cases=(case,),
    )
    conditions = Conditions(
        started_at="2026-01-01T00:00:00+00:00",
        target="inproc",
        version="0.1.0",
        models={"asr": "fake"},
        cpu="x86_64",
        cores=2,
        python="3.12",
        others_load=0.0,
        seed=0,
        split="test",
    )
    return Report(conditions=conditions, sections=(section,))


def test_figures_say_what_was_done_right() -> None:
    rows = {row.id: row for row in conversation_rows(found(), "c")}
    assert rows["c.yield_rate"].estimate == Estimate(0.5, 0.5, 0.5, 2, blocks=1)
    assert rows["c.yield_rate"].verdict == "missed"
    assert rows["c.right.backchannel"].verdict == "met"
    assert rows["c.latency_p50"].estimate is not None
    assert rows["c.latency_p50"].estimate.value == 375.0
    assert rows["c.missed"].estimate is not None
    assert rows["c.missed"].estimate.n == 3
    assert rows["c.heard_error_p95"].estimate is None


def test_a_figure_is_written_with_its_interval() -> None:
    assert figure(Estimate(0.0421, 0.029, 0.056, 100), "%") == "4.2 % (2.9 to 5.6)"
    assert figure(Estimate(412.4, 380.0, 455.0, 9), "ms") == "412 ms (380 to 455)"
    assert figure(None, "ms") == "not measured"


def test_a_target_is_met_or_missed() -> None:
    row = Row(id="a", title="a", estimate=Estimate(2.0, 1.0, 3.0, 5), target=Target(2.0, "at most"))
    assert row.verdict == "met"
    assert Row(id="a", title="a", target=Target(2.0, "at most")).verdict == ""


def test_the_page_loads_nothing_and_plays_the_cases() -> None:
    text = page(report())
    assert "It &lt;went&gt; on" in text
    assert text.count("<svg") == 2
    assert 'src="data:audio/mpeg;base64,' in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)


def test_what_is_looked_for_and_what_is_wrong_comes_first() -> None:
    whole = Report(conditions=report().conditions, sections=(*recognised().sections, *report().sections))
    glance = {section.name: [row.id for row in rows] for section, rows in whole.glance}
    assert glance["asr"] == ["asr.failed"]
    assert glance["conversations"] == [f"conversations.{name}" for name in HEADLINES]
    text = page(whole)
    assert text.index("At a glance") < text.index("Word error rate") < text.index('<h2 id="conversations">')
    assert "At a glance" not in page(recognised())
    assert "### At a glance" in markdown(whole)
    assert "At a glance" not in markdown(recognised())


def test_the_file_has_the_figures_and_not_the_audio(tmp_path: Path) -> None:
    save(report(), tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert written["schema"] == 2
    assert written["sections"][0]["rows"][0]["id"] == "conversations.latency_p50"
    assert written["sections"][0]["cases"][0]["mp3"] == ""


def recognised() -> Report:
    table = Table(
        title="By language",
        head=("language", "recordings", "WER"),
        rows=(("de", 12.0, Measured(Estimate(0.113, 0.08, 0.15, 12), "%")), ("a|b", 3.0, Measured(None, "%"))),
    )
    marks = (Mark("same", "how old"), Mark("wrong", "was", "is"), Mark("missing", "the"), Mark("extra", "<well>"))
    section = Section(
        name="asr",
        title="Recognition",
        took_s=1.0,
        rows=(
            Row(id="asr.wer", title="Word error rate", unit="%", estimate=Estimate(0.1, 0.05, 0.15, 50)),
            Row(id="asr.failed", title="Failed", estimate=Estimate(2.0, 2.0, 2.0, 50), hard_zero=True),
            Row(id="asr.slow", title="Slow", unit="ms", target=Target(5, "at most"), note="needs a quiet machine"),
        ),
        tables=(table,),
        cases=(Case(title="bridge", marks=marks),),
    )
    return Report(conditions=report().conditions, sections=(section,))


def test_something_that_must_be_zero_and_is_not_is_missed() -> None:
    rows = {row.id: row.verdict for row in recognised().rows}
    assert rows == {"asr.wer": "", "asr.failed": "missed", "asr.slow": ""}


def test_tables_are_sorted_by_value_and_read_by_people() -> None:
    text = page(recognised())
    assert 'data-order="0.113" class="number">11.3 % (8.0 to 15.0)</td>' in text
    assert 'data-order="12.0" class="number">12</td>' in text
    assert '<td data-order="" class="number">–</td>' in text


def test_a_transcript_shows_what_was_said_and_what_was_recognised() -> None:
    text = page(recognised())
    assert '<del title="said">is</del><ins title="recognised">was</ins>' in text
    assert '<del title="missing">the</del>' in text
    assert "&lt;well&gt;" in text
    assert "<audio" not in text


def test_junit_has_a_test_for_each_figure_that_should_be_somewhere() -> None:
    text = junit(recognised())
    assert '<testsuite name="asr" tests="2" failures="1" skipped="1"' in text
    assert 'message="2, and should be 0"' in text
    assert '<skipped message="needs a quiet machine" />' in text


def test_markdown_keeps_its_tables_whole() -> None:
    text = markdown(recognised())
    assert "| Word error rate | 10.0 % (5.0 to 15.0) |  | 50 |" in text
    assert "| Failed | ❌ 2 | 0 | 50 |" in text
    assert "| a\\|b | 3 | – |" in text


def test_every_style_of_plot_is_drawn() -> None:
    for style in ("steps", "ecdf", "bars", "line", "points"):
        series = Series(style, (0.0, 1.0), (0.5, 0.7), (0.4, 0.6), (0.6, 0.8))
        text = svg(Plot(title=style, x_label="x", y_label="y", series=(series, series), style=style, diagonal=True))
        assert text.startswith("<svg")
        assert "</svg>" in text


def test_a_run_is_read_as_it_was_written_and_is_over_then(tmp_path: Path) -> None:
    mark = begun(tmp_path)
    assert begun(tmp_path) == mark
    samples = [Sample(area="asr", id=name, block="s", ratios={"asr.wer": Ratio(1, 3)}) for name in ("b", "a")]
    write(recognised(), samples, tmp_path)
    assert load(tmp_path) == recognised()
    assert [one.id for one in read_samples(tmp_path)] == ["a", "b"]
    assert begun(tmp_path) != mark


def test_a_run_says_where_its_recordings_are_as_seen_from_it(tmp_path: Path) -> None:
    audio = tmp_path / "speech" / "a.wav"
    (tmp_path / "out").mkdir()
    write(recognised(), [Sample(area="asr", id="a", block="a", audio=str(audio))], tmp_path / "out")
    (one,) = read_samples(tmp_path / "out")
    assert one.audio == "../speech/a.wav"
    assert str(tmp_path) not in (tmp_path / "out" / "samples.jsonl").read_text("utf-8")


def test_a_folder_without_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match="folder of a run"):
        load(tmp_path)
    with pytest.raises(SpeechError, match="folder of a run"):
        read_samples(tmp_path)
