"""The first thing a stranger sees, as they see it: the real command, models and voices."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import wave
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest

from schemas.events import PlaybackFlush, SayEnded, ServerEvent, SessionClosed, SessionOpened, TurnEnded
from schemas.sessions import AgentTurn, Conversation, HeardSource, SpeechStatus, UserTurn
from server.demo.recordings import INTERRUPTION, SPEECH, examples_folder
from server.demo.wording import says

pytestmark = [pytest.mark.flow, pytest.mark.real]

TIMEOUT_S = 280
ENVIRONMENT = {**os.environ, "CI": "true", "COLUMNS": "200"}


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server", "demo", *options]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def test_the_demo_ends_well_and_leaves_what_it_says(tmp_path: Path) -> None:
    out = tmp_path / "demo-out"
    ended = demo("--out", str(out))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    assert "✗" not in ended.stdout
    for file in out.iterdir():
        assert str(file) in ended.stdout, "the summary names every file"

    events = [msgspec.json.decode(line, type=ServerEvent) for line in (out / "events.jsonl").read_bytes().splitlines()]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[0], SessionOpened)
    assert isinstance(events[-1], SessionClosed)
    first, second = [event for event in events if isinstance(event, SayEnded)]
    assert (first.status, second.status) == (SpeechStatus.COMPLETED, SpeechStatus.INTERRUPTED)
    assert first.heard_source is second.heard_source is HeardSource.ACKNOWLEDGED
    assert [event.item_id for event in events if isinstance(event, PlaybackFlush)] == [second.item_id]
    turns = [event.text for event in events if isinstance(event, TurnEnded)]
    assert says(SPEECH.text, turns[0])
    assert says(INTERRUPTION.text, turns[1])

    conversation = msgspec.json.decode((out / "conversation.json").read_bytes(), type=Conversation)
    assert [type(item) for item in conversation.items] == [UserTurn, AgentTurn, AgentTurn, UserTurn]

    for name, spoken in (("reply.wav", first), ("reply-interrupted.wav", second)):
        with wave.open(str(out / name)) as file:
            assert file.getnframes() * 1000 // file.getframerate() == pytest.approx(spoken.heard_ms, abs=20)
    with wave.open(str(out / "conversation.wav")) as file:
        assert file.getnchannels() == 2
        assert file.getnframes() * 1000 // file.getframerate() == pytest.approx(events[-1].at_ms, abs=1_000)
    assert turns[1] in (out / "timeline.html").read_text("utf-8")
    assert "session_closed" in (out / "server.log").read_text("utf-8")


def test_the_demo_fails_if_what_it_understood_is_not_what_was_said(tmp_path: Path) -> None:
    recording = examples_folder() / INTERRUPTION.name
    ended = demo("--out", str(tmp_path), "--recording", str(recording), "--expect", "Something else entirely.")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    (wrong,) = [line for line in ended.stdout.splitlines() if line.startswith("✗")]
    assert "The user's words" in wrong
    assert "instead of “Something else entirely.”" in wrong


@pytest.fixture
def children_heed_ctrl_c() -> Generator[None]:
    """Background jobs of a shell ignore Ctrl-C, and what they start inherits that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("children_heed_ctrl_c")
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found in Linux' /proc")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_leaves_no_server_behind(tmp_path: Path, stop: signal.Signals) -> None:
    command = [sys.executable, "-m", "server", "demo", "--out", str(tmp_path)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if "Starting the server" in line)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii").split()
        servers = [child for child in children if b"serve" in Path(f"/proc/{child}/cmdline").read_bytes()]
        process.send_signal(stop)
        assert process.wait(timeout=TIMEOUT_S) == 130
        assert process.stdout.read().endswith("Stopped.\n")
    assert len(servers) == 1
    assert not Path(f"/proc/{servers[0]}").exists()


def test_a_server_that_cannot_start_is_told_in_one_line(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[models]\nvoice = "nobody"\n', "utf-8")
    ended = demo("--out", str(tmp_path), "--config", str(settings))
    assert ended.returncode == 1
    assert ended.stderr.strip() == f"The server ended with status 1. Its log says why: {tmp_path / 'server.log'}"
    assert "nobody" in (tmp_path / "server.log").read_text("utf-8")


def test_without_models_the_demo_says_how_to_get_them(tmp_path: Path) -> None:
    ended = demo("--out", str(tmp_path / "out"), "--models-dir", str(tmp_path / "empty"))
    assert ended.returncode == 1
    assert "antiphon models pull --default" in ended.stderr
    assert not (tmp_path / "out").exists()
