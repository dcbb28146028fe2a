"""Synthesis, robustness and load, measured with the real server: all works together, and the figures are sane."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.real, pytest.mark.flow]


def rows_of(area: str, out: Path, root: Path, *options: str) -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-m", "server", "eval", area, "--quick", "--out", str(out), *options]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=290, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert (out / "report.html").read_text("utf-8").count("<svg") >= 2
    return {row["id"]: row for section in report["sections"] for row in section["rows"]}


def value(row: dict[str, Any]) -> float:
    return float(row["estimate"]["value"])


def test_synthesis_is_understood_and_comes_without_gaps(tmp_path: Path, root: Path, speech_dir: Path) -> None:
    rows = rows_of("tts", tmp_path, root, "--corpus", str(speech_dir), "--language", "en")
    assert value(rows["tts.wer"]) < 0.3
    assert rows["tts.wer"]["beside"]["people reading the same"]["value"] < 0.3
    assert rows["tts.misread"]["estimate"]["n"] == 4
    assert 2.0 < value(rows["tts.dnsmos"]) < 4.5
    assert 0 < value(rows["tts.first_audio_p50"]) < 5_000
    assert value(rows["tts.failures"]) == 0


def test_recognition_gets_worse_in_noise(tmp_path: Path, root: Path, speech_dir: Path) -> None:
    options = ("--corpus", str(speech_dir), "--language", "en", "--language", "de")
    rows = rows_of("robustness", tmp_path, root, *options)
    assert value(rows["robustness.clean.wer"]) < 0.3
    assert value(rows["robustness.noise.0_db.wer"]) > value(rows["robustness.clean.wer"])
    assert "robustness.codec.opus_12_kb_s.wer" in rows


def test_a_server_under_load_serves_refuses_and_keeps_sessions_apart(tmp_path: Path, root: Path) -> None:
    rows = rows_of("system", tmp_path, root)
    assert value(rows["system.capacity"]) > 0.2
    assert rows["system.load_2.goodput"]["estimate"]["n"] > rows["system.load_1.goodput"]["estimate"]["n"] / 2
    assert value(rows["system.errors"]) == 0
    assert 50 < value(rows["system.memory_peak"]) < 4_000
    assert value(rows["system.cold_start"]) > 0.5
    assert value(rows["system.leaks"]) == 0
    assert rows["system.leaks"]["beside"]["understood where it was said"]["value"] >= 0.5
    assert value(rows["system.request_leaks"]) == 0
    assert value(rows["system.resume_mismatches"]) == 0
