"""OpenAI's client for Node: its tests are JavaScript, and run by Node's own runner."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TESTS = Path(__file__).with_name("openai.test.mjs")


def test_the_node_client_transcribes_translates_and_speaks(url: str) -> None:
    environment = os.environ | {"ANTIPHON_URL": url, "ANTIPHON_EXAMPLES": str(EXAMPLES)}
    command = [os.environ["ANTIPHON_NODE"], "--test", "--test-reporter=spec", str(TESTS)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "pass 0" not in ran.stdout
