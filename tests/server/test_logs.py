from __future__ import annotations

import subprocess
import sys

import pytest

FAILS = """
import structlog
from server.logs import configure_logs
from server.settings import LogSettings

configure_logs(LogSettings(format={format!r}))
def transcribe(text):
    raise ValueError("broken")
try:
    transcribe("".join(["the ", "canary ", "sings"]))
except ValueError:
    structlog.get_logger("antiphon.test").exception("engine_failed")
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_logged_failure_says_where_it_happened_and_not_what_was_said(log_format: str) -> None:
    command = [sys.executable, "-c", FAILS.format(format=log_format)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "engine_failed" in result.stderr
    assert "ValueError" in result.stderr
    assert "broken" in result.stderr
    assert "the canary sings" not in result.stderr
