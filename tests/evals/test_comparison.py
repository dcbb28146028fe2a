import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evals.comparison.change import change
from evals.comparison.gate import Gate, read_gate
from evals.comparison.pairs import paired, read_run
from evals.decoding import wav
from evals.environment import conditions
from evals.intervals import Estimate
from evals.junit import junit
from evals.output import write
from evals.report import Report, Row, Section
from evals.samples import Ratio, Sample
from schemas.errors import ErrorCode, SpeechError

N = 40


def run(folder: Path, errors: Callable[[int], int], *, latency_ms: float = 300.0, leaks: int = 0, n: int = N) -> Path:
    samples = [
        Sample(
            area="asr",
            id=f"u{number:02}",
            block=f"speaker {number // 2}",
            group={"language": "en" if number % 2 else "de"},
            ratios={"asr.wer": Ratio(errors(number), 10)},
            values={"asr.latency": latency_ms + number},
            reference="we go home",
            hypothesis="we go home" if not errors(number) else "we goat home",
            audio="u.wav",
        )
        for number in range(n)
    ]
    rows = (
        Row(id="asr.wer", title="Word error rate", unit="%", better="lower"),
        Row(id="asr.latency_p50", title="Latency, median", unit="ms", better="lower"),
        Row(id="asr.latency_p95", title="… 95th percentile", unit="ms", better="lower"),
        Row(id="stream.leaks", title="Leaks", estimate=Estimate(leaks, leaks, leaks, 9), hard_zero=True),
    )
    section = Section(name="asr", title="Recognition", took_s=1.0, rows=rows)
    write(Report(conditions=conditions("inproc", 0, corpus="c"), sections=(section,)), samples, folder)
    (folder / "u.wav").write_bytes(wav(np.zeros(1_600, np.float32)))
    return folder


def rows_of(before: Path, after: Path, gate: Gate | None = None) -> dict[str, Row]:
    report = change(paired(read_run(before), read_run(after)), gate or Gate(), "Change")
    return {row.id: row for row in report.rows}


def test_a_run_is_as_good_as_itself(tmp_path: Path) -> None:
    same = run(tmp_path / "a", lambda n: n % 3)
    rows = rows_of(same, same)
    assert rows["asr.wer"].estimate == Estimate(0.0, 0.0, 0.0, N)
    assert {row.verdict for row in rows.values()} <= {"met", ""}


def test_more_errors_than_chance_and_floor_fail(tmp_path: Path) -> None:
    rows = rows_of(run(tmp_path / "a", lambda n: n % 3), run(tmp_path / "b", lambda n: n % 3 + n % 2))
    assert rows["asr.wer"].verdict == "missed"
    assert rows["asr.wer"].beside["before"] is not None
    assert rows["asr.latency_p95"].verdict == "met"


def test_chance_does_not_fail(tmp_path: Path) -> None:
    # Three recordings got worse and two better: a point of difference, and no telling.
    shifts = {1: 2, 7: 2, 13: 2, 20: -1, 30: -1}
    worse = run(tmp_path / "b", lambda n: max(0, 2 + shifts.get(n, 0)))
    rows = rows_of(run(tmp_path / "a", lambda _: 2), worse)
    assert rows["asr.wer"].estimate is not None
    assert rows["asr.wer"].estimate.value > 0.005
    assert rows["asr.wer"].verdict == "met"


def test_a_sure_change_under_the_floor_does_not_fail(tmp_path: Path) -> None:
    rows = rows_of(
        run(tmp_path / "a", lambda _: 1),
        run(tmp_path / "b", lambda n: 2 if n % 4 == 0 else 1),
        Gate(absolute={"*.wer": 0.05}),
    )
    assert rows["asr.wer"].estimate is not None
    assert rows["asr.wer"].estimate.low > 0
    assert rows["asr.wer"].verdict == "met"


def test_a_slower_tail_fails_and_a_faster_one_does_not(tmp_path: Path) -> None:
    base = run(tmp_path / "a", lambda _: 0)
    assert rows_of(base, run(tmp_path / "b", lambda _: 0, latency_ms=400))["asr.latency_p95"].verdict == "missed"
    assert rows_of(base, run(tmp_path / "c", lambda _: 0, latency_ms=200))["asr.latency_p95"].verdict == "met"


def test_what_must_be_zero_fails_whatever_it_was(tmp_path: Path) -> None:
    leaking = run(tmp_path / "a", lambda _: 0, leaks=1)
    assert rows_of(leaking, leaking)["stream.leaks"].verdict == "missed"


def test_a_zero_that_is_no_longer_measured_fails(tmp_path: Path) -> None:
    before, after = run(tmp_path / "a", lambda _: 0), run(tmp_path / "b", lambda _: 0)
    report = json.loads((after / "report.json").read_text("utf-8"))
    report["sections"][0]["rows"].pop()
    (after / "report.json").write_text(json.dumps(report), "utf-8")
    assert rows_of(before, after)["stream.leaks"].verdict == "missed"


def test_the_worst_is_there_to_hear_and_to_read(tmp_path: Path) -> None:
    pairs = paired(read_run(run(tmp_path / "a", lambda _: 0)), read_run(run(tmp_path / "b", lambda n: int(n == 5))))
    report = change(pairs, Gate(), "Change")
    (case,) = report.sections[0].cases
    assert case.title.startswith("u05")
    assert case.mp3
    assert [mark.kind for mark in case.marks] == ["same", "wrong", "same"]
    assert [mark.kind for mark in case.beside] == ["same"]
    assert 'failures="0"' in junit(report)


def test_samples_without_a_partner_are_told(tmp_path: Path) -> None:
    pairs = paired(read_run(run(tmp_path / "a", lambda _: 0)), read_run(run(tmp_path / "b", lambda _: 0, n=30)))
    assert "10 samples are only in the run before." in change(pairs, Gate(), "Change").sections[0].notes


def test_runs_with_nothing_in_common_are_not_compared(tmp_path: Path) -> None:
    first, second = run(tmp_path / "a", lambda _: 0), run(tmp_path / "b", lambda _: 0, n=0)
    with pytest.raises(SpeechError, match="no samples in common"):
        paired(read_run(first), read_run(second))


def test_a_gate_is_read_from_a_file_and_refused_if_it_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "gate.toml"
    file.write_text('zero = ["asr.failed"]\n[absolute]\n"asr.wer" = 0.01\n', "utf-8")
    gate = read_gate(file)
    assert gate.floor("asr.wer", 0.2) == 0.01
    assert gate.floor("asr.cer", 0.2) is None
    assert gate.must_be_zero("asr.failed")
    file.write_text("nonsense = 1\n", "utf-8")
    with pytest.raises(SpeechError, match="cannot be read") as caught:
        read_gate(file)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
