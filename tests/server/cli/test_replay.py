"""``antiphon replay``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from schemas.sessions import TurnSettings
from server.cli.main import antiphon
from session.decision_log import DecisionLog, Entry, Header, encoded_actions, read_decision_log, written_decision_log
from session.turn import step
from session.turn_events import FinalReady, TurnEvent, VadFrame
from session.turn_state import TurnState

VOICE, SILENCE = 0.9, 0.05


def _log(*turns: tuple[int, int], settings: TurnSettings | None = None) -> DecisionLog:
    """Turns of so many frames of voice and of silence, whose words are known a moment into the silence."""
    settings = settings or TurnSettings()
    state, entries = TurnState(), list[Entry]()

    def send(event: TurnEvent) -> None:
        nonlocal state
        before = state
        state, actions = step(before, event, settings)
        seq = len(entries) + 1
        entries.append(Entry(seq=seq, t=before.now_samples, us=0, event=event, actions=encoded_actions(actions)))

    for voiced, silent in turns:
        for _ in range(voiced):
            send(VadFrame(VOICE))
        for frame in range(silent):
            send(VadFrame(SILENCE))
            if frame == 3:
                send(FinalReady(state.generation))
    header = Header(antiphon="0.1.0", session_id="ses_1", redacted=False, settings=settings)
    return DecisionLog(header, tuple(entries))


WriteLog = Callable[[DecisionLog], str]


@pytest.fixture
def write_log(tmp_path: Path) -> WriteLog:
    def write(log: DecisionLog) -> str:
        path = tmp_path / "log.jsonl"
        path.write_bytes(written_decision_log(log))
        return str(path)

    return write


def test_a_log_that_replays_is_said_to_in_one_line(write_log: WriteLog) -> None:
    result = CliRunner().invoke(antiphon, ["replay", write_log(_log((30, 30)))])
    assert result.exit_code == 0
    assert result.output == "61 events, and after each of them the same actions.\n"


def test_the_first_difference_is_shown_and_the_exit_status_is_1(write_log: WriteLog) -> None:
    path = Path(write_log(_log((30, 30))))
    path.write_bytes(path.read_bytes().replace(b'"turn":1,"start_samples":0', b'"turn":1,"start_samples":512', 1))
    result = CliRunner().invoke(antiphon, ["replay", str(path)])
    assert result.exit_code == 1
    event, recorded, replayed, summary = result.output.splitlines()
    assert event.startswith('event 3 at 0.064 s: {"type":"VadFrame","probability":0.9')
    assert recorded == '- [{"type":"TurnStarted","turn":1,"start_samples":512}]'
    assert replayed == '+ [{"type":"TurnStarted","turn":1,"start_samples":0}]'
    assert summary.startswith("1 of 61 events have other actions.")
    report = json.loads(CliRunner().invoke(antiphon, ["replay", str(path), "--json"]).output)
    assert (report["events"], report["differing"]) == (61, 1)
    assert report["differences"][0]["recorded"][0]["start_samples"] == 512


def test_a_log_is_written_without_texts_once(write_log: WriteLog, tmp_path: Path) -> None:
    path, out = write_log(_log((30, 30))), tmp_path / "shareable.jsonl"
    result = CliRunner().invoke(antiphon, ["replay", path, "--redact", str(out)])
    assert result.exit_code == 0
    assert read_decision_log(out.read_bytes()).header.redacted
    assert CliRunner().invoke(antiphon, ["replay", str(out)]).exit_code == 0
    again = CliRunner().invoke(antiphon, ["replay", path, "--redact", str(out)])
    assert again.exit_code == 1
    assert "is there already" in again.stderr


def test_what_is_no_log_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("something else")
    result = CliRunner().invoke(antiphon, ["replay", str(tmp_path / "other")])
    assert result.exit_code == 1
    assert result.stderr.startswith("This is not a decision log")


def test_a_torn_end_is_told(write_log: WriteLog) -> None:
    path = Path(write_log(_log((30, 30))))
    path.write_bytes(path.read_bytes()[:-9])
    result = CliRunner().invoke(antiphon, ["replay", str(path)])
    assert result.exit_code == 0
    assert result.output.startswith("The last line was cut off")


def test_another_setting_shows_when_turns_would_have_ended(write_log: WriteLog) -> None:
    path = write_log(_log((30, 90), (30, 90)))
    arguments = ["replay", path, "--set", "silence_duration_ms=200"]
    result = CliRunner(env={"COLUMNS": "150"}).invoke(antiphon, arguments)
    assert result.exit_code == 0
    assert "Open loop" in result.output
    assert "0.96 s" in result.output
    assert "192 ms" in result.output
    assert "sooner" in result.output
    report = json.loads(CliRunner().invoke(antiphon, [*arguments, "--json"]).output)
    assert report["open_loop"] is True
    assert report["set"] == {"silence_duration_ms": "200"}
    assert [end["counterfactual_ms"] for end in report["ends"]] == [192, 192]
    assert all(end["logged_ms"] > 192 for end in report["ends"])


@pytest.mark.parametrize("change", ["hurry=1", "profile=hasty", "profile"])
def test_what_is_no_setting_is_said_in_one_line(write_log: WriteLog, change: str) -> None:
    result = CliRunner().invoke(antiphon, ["replay", write_log(_log((30, 30))), "--set", change])
    assert result.exit_code == 1
    assert result.stderr.startswith("These are no settings of turn-taking")
