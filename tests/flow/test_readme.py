"""What the README says to type works as it stands: each block after a comment ``<!-- run: TEXT -->`` prints TEXT."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"<!-- run: (?P<shows>.+?) -->\n```(?P<language>\w+)\n(?P<code>.*?)```", re.DOTALL)
BLOCKS = [(match["language"], match["code"], match["shows"]) for match in BLOCK.finditer(README.read_text("utf-8"))]
URL = "http://127.0.0.1:8080"

pytestmark = [pytest.mark.flow, pytest.mark.real]


class Server(Protocol):
    @property
    def url(self) -> str: ...


@pytest.mark.parametrize(("language", "code", "shows"), BLOCKS, ids=[code.splitlines()[0] for _, code, _ in BLOCKS])
def test_each_recipe_of_the_readme_runs_and_shows_what_it_promises(
    language: str, code: str, shows: str, server: Server, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "examples").symlink_to(root / "examples")
    interpreter = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}[language]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*interpreter, code.replace(URL, server.url)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "ANTIPHON_URL": server.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert shows in done.stdout


def test_every_example_is_run_by_a_recipe_or_by_its_test(root: Path) -> None:
    run_here = {"openai_client.py"}
    run_by_recipe = {name for _, code, _ in BLOCKS for name in re.findall(r"examples/([\w/]+\.py)", code)}
    parts_of_agents = {"agents/scripted_model.py", "agents/speech_tools.py", "agents/workbench.py"}
    examples = {str(path.relative_to(root / "examples")) for path in (root / "examples").rglob("*.py")}
    assert examples == run_here | run_by_recipe | parts_of_agents


def test_the_openai_client_runs_unchanged(server: Server, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(root / "examples" / "openai_client.py")],
        env={**os.environ, "ANTIPHON_URL": server.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "movable metal letters" in done.stdout
    assert "transcript.text.done" in done.stdout
