from __future__ import annotations

import json
import resource
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from schemas.errors import SpeechError
from server.cli.main import antiphon
from server.cli.serve import bind, raise_file_limit
from server.settings import ServerSettings


def test_settings_are_shown_with_their_source(tmp_path: Path) -> None:
    config = tmp_path / "antiphon.toml"
    config.write_text("[limits]\nmax_sessions = 3\n")
    arguments = ["serve", "--print-settings", "--config", str(config), "--port", "9", "--allow-host", "a", "--no-warm"]
    result = CliRunner(env={"COLUMNS": "200", "ANTIPHON_LOG_LEVEL": "error"}).invoke(antiphon, arguments)
    assert result.exit_code == 0
    rows = [[cell.strip() for cell in line.split("│")] for line in result.output.splitlines() if line[:1] == "│"]
    shown = {key: (value, source) for _, key, value, source, *_ in rows}
    assert shown["server.port"] == ("9", "the flag")
    assert shown["server.allowed_hosts"] == ("a", "the flag")
    assert shown["models.warm"] == ("false", "the flag")
    assert shown["limits.max_sessions"][0] == "3"
    assert shown["log.level"] == ("error", "the environment variable ANTIPHON_LOG_LEVEL")
    assert shown["models.asr"] == ("", "default")


def test_settings_are_shown_as_json() -> None:
    result = CliRunner().invoke(antiphon, ["serve", "--print-settings", "--json", "--port", "9"])
    assert json.loads(result.output)["server"]["port"] == 9


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "99999"], "The flag (server.port) is 99999; allowed: a whole number at least 0 at most 65535."),
        (["--device", "tpu"], "The flag (engine.device) is 'tpu'"),
        (["--store", "redis"], "allowed: one of memory, sqlite."),
    ],
)
def test_a_wrong_flag_ends_with_one_line(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(antiphon, ["serve", *arguments])
    assert result.exit_code == 1
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    with bind(ServerSettings(port=0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(antiphon, ["serve", "--port", str(port), "--fake-engines"])
    assert result.exit_code == 1
    assert result.stderr == (
        f"Something listens on port {port} of 127.0.0.1 already. Stop it, or choose another port with --port.\n"
    )


def test_a_public_address_wants_keys_or_to_be_told_that_it_is_meant(tmp_path: Path) -> None:
    environment = {"ANTIPHON_AUTH_KEYS_FILE": str(tmp_path / "keys.json")}
    arguments = ["serve", "--host", "0.0.0.0", "--port", "0", "--fake-engines", "--store", "memory"]
    result = CliRunner(env=environment).invoke(antiphon, arguments)
    assert result.exit_code == 1
    assert "antiphon keys create" in result.stderr
    assert "--insecure" in result.stderr
    shown = CliRunner().invoke(antiphon, [*arguments, "--insecure", "--print-settings", "--json"])
    assert json.loads(shown.output)["auth"]["mode"] == "off"


def test_there_may_be_as_many_connections_as_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        for _ in range(2):
            raise_file_limit()
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(SpeechError, match=r"not possible to listen on port 0 of 192\.0\.2\.1"):
        bind(ServerSettings(host="192.0.2.1", port=0))


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 on this machine")
def test_ipv6_addresses_are_listened_on() -> None:
    try:
        listener = bind(ServerSettings(host="::1", port=0))
    except SpeechError:
        pytest.skip("no IPv6 loopback on this machine")
    with listener:
        assert listener.family is socket.AF_INET6
