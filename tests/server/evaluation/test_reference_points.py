"""Plain faster-whisper by the harness is plain faster-whisper: the reference points of the recordings' own README."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evals.corpora.selection import Selection
from evals.report import Measured, Report
from evals.targets.base import Search
from server.evaluation.area import evaluate
from server.evaluation.asr import AsrWish, evaluate_asr
from server.settings import EngineSettings, Settings

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.timeout(900)]

POINTS = {
    1: {"de": 16.9, "en": 6.0, "es": 10.5, "fr": 30.5, "pt": 24.8, "all": 15.1},
    5: {"de": 11.3, "en": 3.7, "es": 7.0, "fr": 29.9, "pt": 16.8, "all": 11.7},
}
TOLERANCE = 0.2


@contextmanager
def track(_title: str, _steps: int) -> Generator[Callable[[int], None]]:
    def advance(done: int) -> None:
        pass

    yield advance


def by_language(report: Report) -> dict[str, float]:
    section = report.sections[0]
    (whole,) = [row.estimate for row in section.rows if row.id == "asr.wer"]
    (table,) = [table for table in section.tables if table.title == "By language"]
    column = table.head.index("WER")
    cells = {str(row[0]): row[column] for row in table.rows}
    rates = {name: cell.estimate for name, cell in cells.items() if isinstance(cell, Measured)}
    return {name: 100 * rate.value for name, rate in {**rates, "all": whole}.items() if rate}


@pytest.mark.parametrize("beam", POINTS)
async def test_plain_faster_whisper_agrees_with_the_reference(beam: int, speech_dir: Path, tmp_path: Path) -> None:
    wish = AsrWish(
        target="engine:whisper-base",
        out=tmp_path,
        corpus=str(speech_dir),
        selection=Selection(kinds=("utterance",)),
        search=Search(beam=beam, once=True),
        detect=False,
        calibrate=0,
    )
    settings = Settings(engine=EngineSettings(device="cpu", compute_type="int8"))
    report, samples = await evaluate([(evaluate_asr, wish)], settings, track)
    found = by_language(report)
    print(beam, {name: round(rate, 2) for name, rate in found.items()})
    assert len(samples) == 53
    assert found == pytest.approx(POINTS[beam], abs=TOLERANCE)
