from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from server.cli.main import antiphon


def test_help_lists_every_command_and_imports_none() -> None:
    script = (
        "import sys; from click.testing import CliRunner; from server.cli.main import antiphon; "
        "result = CliRunner().invoke(antiphon, ['--help']); print(result.output); "
        "heavy = {'numpy', 'litestar', 'av', 'onnxruntime', 'httpx', 'uvicorn'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    for name in ("serve", "demo", "transcribe", "say", "models", "tools", "completion", "version"):
        assert name in result.stdout


@pytest.mark.parametrize("command", ["serve", "transcribe", "say", "models", "completion", "version"])
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(antiphon, [command, "--help"])
    assert result.exit_code == 0
    assert f"antiphon {command}" in result.output


def test_python_m_server_is_the_same_program() -> None:
    result = subprocess.run([sys.executable, "-m", "server", "version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("antiphon ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_the_program(shell: str) -> None:
    result = CliRunner().invoke(antiphon, ["completion", shell])
    assert result.exit_code == 0
    assert "_ANTIPHON_COMPLETE" in result.output


def test_the_shell_completes_commands_and_options() -> None:
    typed = {"_ANTIPHON_COMPLETE": "bash_complete", "COMP_WORDS": "antiphon say --vo", "COMP_CWORD": "2"}
    command = [sys.executable, "-m", "server"]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | typed, check=False)
    assert result.stdout == "plain,--voice\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["say"], ["transcribe", "--nonsense"], ["completion", "tcsh"]])
def test_wrong_usage_ends_with_status_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(antiphon, arguments).exit_code == 2


def test_a_failure_is_one_line_and_status_1(tmp_path: Path) -> None:
    result = CliRunner().invoke(antiphon, ["say", "Hi.", "--models-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.strip() == "No synthesis model is installed. Run: antiphon models pull --default"
    assert result.stdout == ""
