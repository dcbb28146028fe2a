"""A few conversations of the simulator with the real server: everything works together, and the figures are sane."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real, pytest.mark.flow]


def test_a_quick_evaluation_holds_conversations_and_reports(tmp_path: Path, root: Path) -> None:
    out = tmp_path / "eval"
    command = [sys.executable, "-m", "server", "eval", "turns", "--quick", "--language", "en", "--out", str(out)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((out / "report.json").read_text("utf-8"))
    conversations, pauses, core = report["sections"]
    assert not [note for note in conversations["notes"] if note.startswith("Not finished")], conversations["notes"]
    rows = {row["id"]: row for section in (conversations, pauses, core) for row in section["rows"]}
    assert rows["conversations.latency_p50"]["estimate"]["n"] >= 4
    assert 100 < rows["conversations.latency_p50"]["estimate"]["value"] < 3_000
    assert rows["conversations.lost_ms"]["estimate"]["value"] == 0
    assert rows["pauses.cutoffs_at_600"]["estimate"]["n"] >= 8
    assert rows["pauses.cutoffs_at_600"]["beside"].keys() == {"smart-turn alone", "VAD alone"}
    assert rows["core.yield_rate"]["estimate"]["value"] > 0.9
    page = (out / "report.html").read_text("utf-8")
    assert page.count("<svg") >= 3
