from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ErrorCode, SpeechError
from server.settings import Settings, load_settings, setting_fields


def test_without_sources_every_setting_is_its_default() -> None:
    loaded = load_settings({})
    assert loaded.settings == Settings()
    assert set(loaded.sources.values()) == {"default"}


def test_flags_beat_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    config = tmp_path / "antiphon.toml"
    config.write_text('[server]\nport = 1\nhost = "::1"\n[log]\nlevel = "debug"\n')
    environ = {"ANTIPHON_SERVER_PORT": "2", "ANTIPHON_LOG_LEVEL": "error"}
    loaded = load_settings(environ, config=config, flags={"server.port": 3, "log.format": None})
    assert (loaded.settings.server.port, loaded.settings.log.level, loaded.settings.server.host) == (3, "error", "::1")
    assert loaded.sources["server.port"] == "the flag"
    assert loaded.sources["log.level"] == "the environment variable ANTIPHON_LOG_LEVEL"
    assert loaded.sources["server.host"] == f"server.host in {config}"
    assert loaded.sources["log.format"] == "default"


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    config = tmp_path / "antiphon.toml"
    config.write_text("[limits]\nmax_audio_s = 5\n")
    assert load_settings({"ANTIPHON_CONFIG": str(config)}).settings.limits.max_audio_s == 5.0


@pytest.mark.parametrize(
    ("name", "text", "section", "key", "value"),
    [
        (
            "ANTIPHON_SERVER_ALLOWED_HOSTS",
            "a.example, *.b.example",
            "server",
            "allowed_hosts",
            ("a.example", "*.b.example"),
        ),
        ("ANTIPHON_MODELS_WARM", "false", "models", "warm", False),
        ("ANTIPHON_ENGINE_KEEP_ALIVE_S", "1.5", "engine", "keep_alive_s", 1.5),
        ("ANTIPHON_ENGINE_KEEP_ALIVE_S", "null", "engine", "keep_alive_s", None),
        ("ANTIPHON_ENGINE_DEVICE", "cuda:1", "engine", "device", "cuda:1"),
        ("ANTIPHON_MODELS_DIR", "models", "models", "dir", "models"),
    ],
)
def test_text_from_the_environment_becomes_a_value(name: str, text: str, section: str, key: str, value: object) -> None:
    settings = load_settings({name: text}).settings
    assert getattr(getattr(settings, section), key) == value


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            {"ANTIPHON_SERVER_PORT": "http"},
            "variable ANTIPHON_SERVER_PORT (server.port) is 'http'; allowed: a whole number at least 0 at most 65535.",
        ),
        (
            {"ANTIPHON_LOG_FORMAT": "xml"},
            "variable ANTIPHON_LOG_FORMAT (log.format) is 'xml'; allowed: one of console, json.",
        ),
        (
            {"ANTIPHON_ENGINE_KEEP_ALIVE_S": "0"},
            "variable ANTIPHON_ENGINE_KEEP_ALIVE_S (engine.keep_alive_s) is '0'; allowed: a number above 0.",
        ),
        (
            {"ANTIPHON_SERVER_PROT": "1"},
            "variable ANTIPHON_SERVER_PROT is not a setting. Did you mean ANTIPHON_SERVER_PORT?",
        ),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(environ: dict[str, str], expected: str) -> None:
    with pytest.raises(SpeechError) as caught:
        load_settings(environ)
    assert caught.value.code is ErrorCode.INVALID_SETTING
    assert caught.value.message == f"The environment {expected}"


def test_variables_of_other_sections_are_left_alone() -> None:
    # Kubernetes sets these for a service that is called antiphon.
    environ = {"ANTIPHON_PORT": "tcp://10.0.0.1:80", "ANTIPHON_SERVICE_HOST": "10.0.0.1", "PATH": "/bin"}
    assert load_settings(environ).settings == Settings()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server]\nprot = 1", "server.prot in {file} is not a setting. Did you mean server.port?"),
        ("[sever]\nport = 1", "sever.port in {file} is not a setting. Did you mean server.port?"),
        ("port = 1", "port in {file} is not a setting."),
        ("[server]\nport = '1.5'", "Server.port in {file} is '1.5'; allowed: a whole number at least 0 at most 65535."),
        ("[server]\nport = true", "Server.port in {file} is True; allowed: a whole number at least 0 at most 65535."),
        ("[server", "The settings file {file} is not valid TOML: "),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, expected: str) -> None:
    config = tmp_path / "antiphon.toml"
    config.write_text(text)
    with pytest.raises(SpeechError) as caught:
        load_settings({}, config=config)
    assert caught.value.message.startswith(expected.format(file=config))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match=r"nothing\.toml cannot be read: No such file"):
        load_settings({"ANTIPHON_CONFIG": str(tmp_path / "nothing.toml")})


def test_a_wrong_flag_is_named() -> None:
    with pytest.raises(SpeechError) as caught:
        load_settings({}, flags={"engine.device": "tpu"})
    assert caught.value.param == "engine.device"
    assert "The flag (engine.device) is 'tpu'" in caught.value.message


@given(port=st.integers())
def test_a_port_is_taken_exactly_if_it_is_one(port: int) -> None:
    environ = {"ANTIPHON_SERVER_PORT": str(port)}
    if 0 <= port <= 65_535:
        assert load_settings(environ).settings.server.port == port
    else:
        with pytest.raises(SpeechError):
            load_settings(environ)


def test_names_of_environment_variables_are_unambiguous() -> None:
    names = [field.env for field in setting_fields()]
    assert len(set(names)) == len(names)
