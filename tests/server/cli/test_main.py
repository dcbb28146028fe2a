from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from server.cli.main import antiphon, main


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


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> None:
    """``antiphon serve`` where glibc has something to be told."""
    monkeypatch.setattr("server.cli.main.glibc_tunables", lambda: "glibc.malloc.arena_max=2")
    monkeypatch.setattr(sys, "argv", ["antiphon", "serve", "--help"])


@pytest.mark.usefixtures("serving")
def test_a_program_with_engines_begins_once_more_with_settings_of_its_own_for_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[tuple[str, list[str], str]] = []

    class BegunError(Exception):
        """In place of what does not return."""

    def execve(program: str, arguments: list[str], environment: dict[str, str]) -> None:
        begun.append((program, arguments, environment["GLIBC_TUNABLES"]))
        raise BegunError

    monkeypatch.setattr("server.cli.main.os.execve", execve)
    with pytest.raises(BegunError):
        main()
    assert begun == [(sys.executable, [sys.executable, *sys.orig_argv[1:]], "glibc.malloc.arena_max=2")]


@pytest.mark.usefixtures("serving")
def test_it_goes_on_where_it_may_not_begin_once_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def execve(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("server.cli.main.os.execve", execve)
    with pytest.raises(SystemExit):
        main()
    assert "antiphon serve" in capsys.readouterr().out


@pytest.mark.usefixtures("serving")
def test_it_begins_once_more_only_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Though an environment that something cleans has lost the tunables."""
    monkeypatch.setenv("_ANTIPHON_BEGUN", "1")
    monkeypatch.setattr("server.cli.main.os.execve", None)
    with pytest.raises(SystemExit):
        main()
    assert "antiphon serve" in capsys.readouterr().out
    assert "_ANTIPHON_BEGUN" not in os.environ


@pytest.mark.parametrize(("command", "tunables"), [("serve", ""), ("version", "glibc.malloc.arena_max=2")])
def test_others_go_on_and_so_does_one_that_has_its_settings(
    command: str, tunables: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("server.cli.main.glibc_tunables", lambda: tunables)
    monkeypatch.setattr(sys, "argv", ["antiphon", command, "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert f"antiphon {command}" in capsys.readouterr().out


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
