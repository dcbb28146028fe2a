import json
import re
from pathlib import Path

import numpy as np

from evals.clip import stereo_mp3
from evals.figures import figure
from evals.intervals import Estimate
from evals.page import page
from evals.report import Case, Conditions, Report, Row, Section, Target, save
from evals.turns.conversation_figures import class_plot, conversation_rows, latency_plot
from evals.turns.dialogue import Intent
from evals.turns.outcomes import Outcomes, OverlapOutcome, TurnOutcome


def overlap(intent: Intent, *, yielded: bool) -> OverlapOutcome:
    return OverlapOutcome(
        conversation=0,
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
            TurnOutcome(conversation=n, channel="clean", text="", end_samples=0, latency_ms=ms, talked_into=False)
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
    assert rows["c.yield_rate"].estimate == Estimate(0.5, 0.5, 0.5, 2)
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


def test_the_file_has_the_figures_and_not_the_audio(tmp_path: Path) -> None:
    save(report(), tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert written["schema"] == 1
    assert written["sections"][0]["rows"][0]["id"] == "conversations.latency_p50"
    assert written["sections"][0]["cases"][0]["mp3"] == ""
