import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import click
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from evals.junit import junit
from evals.page import page
from evals.report import Report, Section
from schemas.errors import ErrorCode, SpeechError
from server.cli.eval.run import run
from server.evaluation.abilities import Ability, abilities
from server.evaluation.area import Area, Findings, Track, Wish, evaluate
from server.evaluation.asr import ASR
from server.evaluation.robustness import ROBUSTNESS
from server.evaluation.system import SYSTEM
from server.evaluation.targets import opened
from server.evaluation.tts import TTS
from server.evaluation.turns import TURNS
from server.settings import Settings

pytestmark = pytest.mark.anyio


@contextmanager
def track(_title: str, _steps: int) -> Generator[Callable[[int], None]]:
    def advance(done: int) -> None:
        pass

    yield advance


class FakeArea:
    """Finds an empty section, or fails."""

    def __init__(self, name: str, *needs: Ability, fails_with: Exception | None = None) -> None:
        self.name = name
        self.was_begun = False
        self._needs = frozenset(needs)
        self._fails_with = fails_with

    def area(self) -> Area[Wish]:
        return Area(name=self.name, title=self.name, needs=self._needs, measure=self._measure)

    async def _measure(self, _wish: Wish, _settings: Settings, _track: Track) -> Findings:
        self.was_begun = True
        if self._fails_with is not None:
            raise self._fails_with
        return Findings(sections=(Section(name=self.name, title=self.name, took_s=0.0),), models={self.name: "m"})


BUSY = SpeechError(ErrorCode.OVERLOADED, "The server is busy.")


async def evaluated(target: str, *areas: FakeArea) -> Report:
    wish = Wish(target=target, out=Path("unused"))
    report, _ = await evaluate([(one.area(), wish) for one in areas], Settings(), track)
    return report


@pytest.mark.parametrize(
    ("target", "able"),
    [
        ("inproc", [ASR, TTS, ROBUSTNESS, SYSTEM, TURNS]),
        ("http://host:8000", [ASR, TTS, ROBUSTNESS, SYSTEM, TURNS]),
        ("openai:http://host:8000", [ASR, TTS, ROBUSTNESS, SYSTEM]),
        ("wyoming:host:10300", [ASR, ROBUSTNESS]),
        ("engine:whisper-base", [ASR, ROBUSTNESS]),
        ("engine:kokoro-82m-v1.0-int8", [TTS]),
    ],
)
def test_what_a_target_can_do_is_known_by_its_name(target: str, able: list[Area[Any]]) -> None:
    has = abilities(target, Settings())
    assert [area for area in (ASR, TTS, ROBUSTNESS, SYSTEM, TURNS) if area.needs <= has] == able


async def test_what_a_target_cannot_do_is_not_begun_and_the_report_says_so() -> None:
    hears, converses = FakeArea("hears", Ability.RECOGNISE), FakeArea("converses", Ability.CONVERSE)
    report = await evaluated("wyoming:host:1", converses, hears)
    assert (hears.was_begun, converses.was_begun) == (True, False)
    assert [section.name for section in report.sections] == ["converses", "hears"]
    assert report.sections[0].notes == ("Not measured: The target wyoming:host:1 cannot hold sessions.",)
    assert not report.rows
    assert "cannot hold sessions" in page(report)


async def test_a_target_that_can_do_nothing_of_it_is_refused_before_any_work() -> None:
    converses = FakeArea("converses", Ability.CONVERSE)
    with pytest.raises(SpeechError, match="cannot hold sessions") as caught:
        await evaluated("engine:whisper-base", converses)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert not converses.was_begun


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (BUSY, "The server is busy."),
        (ExceptionGroup("tasks", [BUSY, ExceptionGroup("more", [BUSY])]), "The server is busy."),
        (ZeroDivisionError("no words"), "ZeroDivisionError: no words"),
    ],
)
async def test_an_area_that_breaks_off_fails_and_the_others_are_reported(error: Exception, told: str) -> None:
    breaks, after = FakeArea("breaks", fails_with=error), FakeArea("after")
    report = await evaluated("inproc", breaks, after)
    assert after.was_begun
    assert report.conditions.models == {"after": "m"}
    [row] = report.rows
    assert (row.id, row.verdict, row.note) == ("breaks.broke_off", "missed", told)
    [failure] = ET.fromstring(junit(report)).iter("failure")
    assert failure.text == told


async def test_an_evaluation_that_came_to_nothing_says_why() -> None:
    with pytest.raises(SpeechError, match="busy"):
        await evaluated("wyoming:host:1", FakeArea("breaks", fails_with=BUSY), FakeArea("no", Ability.SPEAK))


def test_a_command_of_which_an_area_breaks_off_leaves_the_report_and_fails(tmp_path: Path) -> None:
    areas = (FakeArea("good"), FakeArea("breaks", fails_with=BUSY))
    wish = Wish(target="inproc", out=tmp_path)

    @click.command()
    def command() -> None:
        run([(one.area(), wish) for one in areas], Settings())

    done = CliRunner().invoke(command)
    assert done.exit_code == 1
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert [section["name"] for section in report["sections"]] == ["good", "breaks"]
    assert "The server is busy." in done.output


async def test_a_run_that_broke_off_goes_on_and_a_fresh_one_always_asks_anew(tmp_path: Path) -> None:
    names: list[str] = []
    """Under which results of the target are kept."""

    async def measure(wish: Wish, settings: Settings, _track: Track) -> Findings:
        async with opened(wish, settings) as target:
            names.append(target.transcriber.identity)
        return Findings(sections=())

    area = Area(name="asked", title="Asked", needs=frozenset(), measure=measure)
    wish = Wish(target="openai:http://127.0.0.1:9", out=tmp_path / "out")
    for one in (wish, wish, replace(wish, fresh=True), replace(wish, fresh=True), wish):
        await evaluate([(area, one), (area, one)], Settings(), track)
    first, again, fresh, fresher, resumed = names[::2]
    assert names[::2] == names[1::2]  # all areas of a run
    assert first == again
    assert len({first, fresh, fresher}) == 3
    assert resumed == fresher
