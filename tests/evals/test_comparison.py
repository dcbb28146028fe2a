import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from evals.comparison.change import change
from evals.comparison.gate import Gate, read_gate
from evals.comparison.pairs import paired, read_run
from evals.decoding import wav
from evals.environment import conditions
from evals.intervals import Estimate
from evals.junit import junit
from evals.output import write
from evals.report import Report, Row, Section
from evals.samples import Ratio, Sample, write_samples
from schemas.errors import ErrorCode, SpeechError

N = 40


def measured(value: float) -> Estimate:
    return Estimate(value, value, value, N)


def run(
    folder: Path,
    errors: Callable[[int], int],
    *,
    latency_ms: float = 300.0,
    leaks: int = 0,
    n: int = N,
    speakers: int = N // 2,
    target: str = "inproc",
    rows: Sequence[str] = ("asr.wer", "asr.latency_p50", "asr.latency_p95", "stream.leaks"),
    samples: Sequence[Sample] = (),
) -> Path:
    found = [
        Sample(
            area="asr",
            id=f"u{number:02}",
            block=f"speaker {number // 2 % speakers}",
            group={"language": "en" if number % 2 else "de"},
            ratios={"asr.wer": Ratio(errors(number), 10)},
            values={"asr.latency": latency_ms + number},
            reference="we go home",
            hypothesis="we go home" if not errors(number) else "we goat home",
            audio="u.wav",
        )
        for number in range(n)
    ]
    wer = sum(errors(number) for number in range(n)) / (10 * n) if n else 0.0
    known = (
        Row(id="asr.wer", title="Word error rate", unit="%", estimate=measured(wer), better="lower"),
        Row(id="asr.latency_p50", title="Latency, median", unit="ms", estimate=measured(latency_ms), better="lower"),
        Row(id="asr.latency_p95", title="… 95th percentile", unit="ms", estimate=measured(latency_ms), better="lower"),
        Row(id="asr.sub", title="… substitutions", unit="%", estimate=measured(wer)),
        Row(id="system.capacity", title="Capacity", unit="/s", estimate=measured(1), better="higher"),
        Row(id="stream.leaks", title="Leaks", estimate=Estimate(leaks, leaks, leaks, 9), hard_zero=True),
    )
    section = Section(name="asr", title="Recognition", took_s=1.0, rows=tuple(row for row in known if row.id in rows))
    write(Report(conditions=conditions(target, 0, corpus="c"), sections=(section,)), [*found, *samples], folder)
    (folder / "u.wav").write_bytes(wav(np.zeros(1_600, np.float32)))
    return folder


def rows_of(before: Path, after: Path, gate: Gate | None = None, *, is_subset: bool = False) -> dict[str, Row]:
    report = change(paired(read_run(before), read_run(after)), gate, "Change", is_subset=is_subset)
    return {row.id: row for row in report.rows}


def test_a_run_is_as_good_as_itself(tmp_path: Path) -> None:
    same = run(tmp_path / "a", lambda n: n % 3)
    rows = rows_of(same, same)
    assert rows["asr.wer"].estimate == Estimate(0.0, 0.0, 0.0, N, N // 2)
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
        Gate(absolute={"*.wer": 0.05}, relative={}),
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
    report = change(pairs, None, "Change")
    (case,) = report.sections[0].cases
    assert case.title.startswith("u05")
    assert case.mp3
    assert [mark.kind for mark in case.marks] == ["same", "wrong", "same"]
    assert [mark.kind for mark in case.beside] == ["same"]
    assert 'failures="0"' in junit(report)


def test_samples_that_the_run_after_lacks_fail_unless_fewer_are_meant(tmp_path: Path) -> None:
    before, after = run(tmp_path / "a", lambda _: 0), run(tmp_path / "b", lambda _: 0, n=30)
    pairs = paired(read_run(before), read_run(after))
    assert "10 samples are only in the run before." in change(pairs, Gate(), "Change").sections[0].notes
    missing = rows_of(before, after)["gate.missing_samples"]
    assert missing.verdict == "missed"
    assert missing.note.startswith("asr u30, asr u31, asr u32 and 7 more. Measure the same")
    assert "gate.missing_samples" not in rows_of(before, after, is_subset=True)
    assert "gate.missing_samples" not in rows_of(after, before)


@pytest.mark.parametrize("fields", [{"recording": "another"}, {"reference": "we go far"}])
def test_other_recordings_and_texts_under_the_same_name_are_not_compared(
    tmp_path: Path, fields: dict[str, str]
) -> None:
    before = run(tmp_path / "a", lambda _: 0)
    after = run(tmp_path / "b", lambda _: 0)
    changed = [replace(one, **fields) if one.id < "u10" else one for one in read_run(after).samples]
    write_samples(changed, after)
    rows = rows_of(before, after)
    assert rows["asr.wer"].estimate is not None
    assert rows["asr.wer"].estimate.n == N - 10
    other = rows["gate.other_samples"]
    assert (other.verdict, other.estimate) == ("missed", Estimate(10, 10, 10, 10))


def test_samples_that_failed_after_fail(tmp_path: Path) -> None:
    before, after = run(tmp_path / "a", lambda _: 0), run(tmp_path / "b", lambda _: 0)
    write_samples(
        [replace(read_run(after).samples[0], error="It broke.", ratios={}), *read_run(after).samples[1:]], after
    )
    assert rows_of(before, after)["gate.failed_samples"].note.startswith("asr u00.")
    assert "gate.failed_samples" not in rows_of(after, after)


def test_a_figure_of_the_gate_that_is_no_longer_measured_fails(tmp_path: Path) -> None:
    before = run(tmp_path / "a", lambda _: 1)
    after = run(tmp_path / "b", lambda _: 1, rows=("asr.wer", "stream.leaks"))
    write_samples([replace(one, values={}) for one in read_run(after).samples], after)
    assert rows_of(before, after)["gate.lost_figures"].note.startswith("asr.latency_p50, asr.latency_p95. Measure")
    assert "gate.lost_figures" not in rows_of(before, after, Gate(relative={}))


def test_a_gate_that_names_nothing_of_the_runs_fails(tmp_path: Path) -> None:
    same = run(tmp_path / "a", lambda _: 1)
    gate = Gate(absolute={"*.wer": 0.005, "asr.wre": 0.01}, relative={}, zero=("asr.fialed",))
    assert rows_of(same, same, gate)["gate.unknown_figures"].note.startswith("asr.wre, asr.fialed. Correct them")
    assert not any(name.startswith("gate.") for name in rows_of(same, same))  # areas that the runs do not have


def test_a_gate_for_what_samples_do_not_have_fails(tmp_path: Path) -> None:
    same = run(tmp_path / "a", lambda _: 1, rows=("asr.wer", "asr.sub"))
    rows = rows_of(same, same, Gate(absolute={"*.wer": 0.005, "asr.sub": 0.01}, relative={}))
    assert rows["gate.incomparable_figures"].note.startswith("asr.sub.")


def test_a_gate_that_judged_nothing_fails(tmp_path: Path) -> None:
    same = run(tmp_path / "a", lambda _: 1, rows=("stream.leaks",))
    assert rows_of(same, same)["gate.judged"].verdict == "missed"
    assert "gate.judged" not in rows_of(same, same, Gate(absolute={}, relative={}))


def test_of_one_speaker_the_gate_cannot_tell(tmp_path: Path) -> None:
    base = run(tmp_path / "a", lambda n: n % 3, speakers=1)
    rows = rows_of(base, run(tmp_path / "b", lambda n: n % 3 + n % 2, speakers=1))
    assert rows["asr.wer"].verdict == ""
    assert rows["asr.wer"].note == "No interval: that needs two speakers or texts, or more. The gate cannot tell."
    assert rows["gate.judged"].verdict == "missed"
    few = run(tmp_path / "c", lambda n: n % 3, speakers=5)
    assert "Only 5 speakers or texts" in rows_of(few, few)["asr.wer"].note


def test_times_of_an_engine_alone_are_not_held_against_those_of_a_server(tmp_path: Path) -> None:
    plain = run(tmp_path / "a", lambda _: 1, target="engine:whisper-base")
    ours = run(tmp_path / "b", lambda _: 1, latency_ms=900)
    report = change(paired(read_run(plain), read_run(ours)), None, "Change")
    assert {row.id: row.verdict for row in report.rows} == {"asr.wer": "met", "stream.leaks": "met"}
    assert any(note.startswith("Times are not compared") for note in report.sections[0].notes)
    assert read_run(plain).report.conditions.options == {"times": "engine only"}
    assert rows_of(plain, plain)["asr.latency_p95"].verdict == "met"


def test_capacity_is_compared_without_pairs(tmp_path: Path) -> None:
    def capacity(folder: Path, per_s: int, n: int = 10) -> Path:
        windows = [
            Sample(
                area="system",
                id=f"capacity {number:02}",
                block=f"{number}",
                ratios={"system.capacity": Ratio(per_s + number % 2, 1)},
                is_paired=False,
            )
            for number in range(n)
        ]
        return run(folder, lambda _: 0, n=0, rows=("system.capacity",), samples=windows)

    before = capacity(tmp_path / "a", 20)
    worse = rows_of(before, capacity(tmp_path / "b", 5, n=8))
    assert worse["system.capacity"].verdict == "missed"
    assert {name for name in worse if name.startswith("gate.")} == set()
    assert rows_of(before, capacity(tmp_path / "c", 30))["system.capacity"].verdict == "met"
    assert rows_of(before, capacity(tmp_path / "d", 19))["system.capacity"].verdict == "met"


def test_an_asterisk_of_the_gate_stands_for_one_part_of_a_name() -> None:
    gate = Gate()
    assert gate.floor("asr.wer", 0.1) == gate.floor("robustness.wer", 0.1) == 0.005
    assert gate.floor("robustness.noise.10_db.wer", 0.1) is None
    assert gate.floor("tts.first_audio_p95", 200) == 30
    assert gate.floor("system.load_1.latency_p95", 200) is None


def test_a_row_that_fails_says_what_it_is_and_what_it_may_be(tmp_path: Path) -> None:
    pairs = paired(
        read_run(run(tmp_path / "a", lambda _: 0)), read_run(run(tmp_path / "b", lambda _: 1, latency_ms=400))
    )
    report = change(pairs, None, "Change")
    assert "asr.latency_p95: Latency, 95th percentile" in junit(report)
    assert "and should be at most 0.5 %" in junit(report)


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
