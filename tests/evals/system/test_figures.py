import pytest

from evals.report import Row
from evals.system import figures
from evals.system.figures import Isolation, Level, Resumption
from evals.system.load import Answer, Capacity
from evals.system.traffic import text_of
from schemas.errors import ErrorCode

CAPACITY = Capacity((18, 22, 20, 21, 19), 2.0)


def level(load: float, served: int, late: int = 0, shed: int = 0, failed: int = 0) -> Level:
    answers = [Answer(latency_s=0.2)] * served + [Answer(latency_s=5.0)] * late
    answers += [Answer(latency_s=0.01, code=ErrorCode.OVERLOADED, retry_after_s=1.0)] * shed
    answers += [Answer(latency_s=0.5, code=ErrorCode.ENGINE_FAILED)] * failed
    return Level(load=load, per_s=10 * load, for_s=10.0, answers=tuple(answers), memory_mb=(100.0, 100.0 + 10 * load))


def rows_of(*levels: Level) -> dict[str, Row]:
    return {row.id: row for row in figures.load_rows(levels, CAPACITY, 1.0)}


def value(row: Row) -> float:
    assert row.estimate is not None
    return row.estimate.value


def test_goodput_counts_what_was_served_in_time() -> None:
    rows = rows_of(level(1.0, served=90, late=10), level(2.0, served=81, shed=110, failed=9))
    assert value(rows["system.load_1.goodput"]) == pytest.approx(9.0)
    assert value(rows["system.load_2.goodput"]) == pytest.approx(8.1)
    kept = rows["system.goodput_kept"]
    assert kept.estimate is not None
    assert kept.estimate.value == pytest.approx(0.9)
    assert kept.estimate.low < 0.9 < kept.estimate.high
    assert value(rows["system.load_2.shed"]) == pytest.approx(110 / 200)
    assert value(rows["system.retry_after"]) == 1.0
    assert rows["system.errors"].verdict == "missed"
    assert value(rows["system.errors"]) == pytest.approx(9 / 300)


def test_capacity_has_an_interval_by_how_much_it_varies() -> None:
    found = rows_of(level(1.0, served=90))["system.capacity"].estimate
    assert found is not None
    assert found.value == pytest.approx(10.0)
    assert 9 < found.low < 10 < found.high < 11


def test_a_server_that_collapses_misses_its_target_and_one_that_refuses_meets_it() -> None:
    fine = level(1.0, served=100)
    assert rows_of(fine, level(2.0, served=10, late=190))["system.goodput_kept"].verdict == "missed"
    rows = rows_of(fine, level(2.0, served=98, shed=102))
    assert rows["system.goodput_kept"].verdict == "met"
    assert rows["system.errors"].verdict == "met"


def test_without_a_load_of_1_nothing_is_compared_with_it() -> None:
    rows = rows_of(level(0.5, served=50), level(2.0, served=100))
    assert rows["system.goodput_kept"].estimate is None
    assert rows["system.retry_after"].estimate is None
    assert value(rows["system.load_0_5.goodput"]) == pytest.approx(5.0)


def test_a_leak_fails_the_run_and_is_named() -> None:
    none = Isolation(leaked=(), pairs=12, recognised=(True, True, False))
    row, _ = figures.isolation_rows("leaks", "Leaks", none)
    assert row.verdict == "met"
    understood = row.beside["understood where it was said"]
    assert understood is not None
    assert understood.value == pytest.approx(2 / 3)
    leak = Isolation(leaked=("“lemon” of session 1 in session 0",), pairs=12, recognised=(True,))
    row, _ = figures.isolation_rows("leaks", "Leaks", leak)
    assert row.verdict == "missed"
    assert "lemon" in row.note


def test_what_a_target_does_not_have_is_not_measured_and_says_so() -> None:
    for row in (
        *figures.isolation_rows("leaks", "Leaks", None),
        *figures.resumption_rows(None),
        *figures.memory_rows((), None),
        *figures.cold_start_rows(()),
    ):
        assert row.estimate is None
        assert row.note.startswith("Not measured")
        assert not row.verdict


def test_a_mismatch_fails_the_run() -> None:
    row, _ = figures.resumption_rows(Resumption(cuts=10, mismatches=("session 0: 3 events in place of 4",)))
    assert row.verdict == "missed"
    row, _ = figures.resumption_rows(Resumption(cuts=2, mismatches=("a", "b", "c")))  # all of them, in several ways
    assert value(row) == 1.0


def test_plots_tables_and_samples_have_every_load() -> None:
    levels = [level(0.5, served=50), level(2.0, served=100, late=20, shed=30)]
    goodput, latency, memory = figures.load_plots(levels, 1.0)
    assert goodput.series[0].y == pytest.approx((5.0, 10.0))
    assert latency.series[2].y[1] == pytest.approx(5_000)
    assert memory.series[0].y == (105.0, 120.0)
    (table,) = figures.load_tables(levels, 1.0)
    assert [row[0] for row in table.rows] == ["0.5×", "2×"]
    samples = figures.samples(levels, CAPACITY)
    assert len({one.id for one in samples}) == len(samples) == 205
    assert sum(one.error == ErrorCode.OVERLOADED for one in samples) == 30
    assert sum(part.part for one in samples for part in one.ratios.values()) == 100
    assert not any(one.is_paired for one in samples)


def test_no_two_texts_under_load_are_the_same() -> None:
    texts = [text_of(number) for number in range(3_000)]
    assert len(set(texts)) == len(texts)
