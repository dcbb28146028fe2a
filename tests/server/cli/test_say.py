from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import respx
from click.testing import CliRunner, Result

from engines.fake import fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from server import speech_engines
from server.cli.main import antiphon
from server.settings import Settings

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs ``antiphon say`` with fake engines, in an empty folder."""

    def fake(settings: Settings) -> EngineHost:
        del settings
        return EngineHost(fake_engines(), HostSettings())

    monkeypatch.setattr(speech_engines, "engine_host", fake)
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(antiphon, ["say", *arguments], input=stdin)

    return invoke


def test_speech_is_written_as_wav_by_default(run: Run) -> None:
    result = run("Hello there.")
    assert result.exit_code == 0
    data = Path("speech.wav").read_bytes()
    assert data[:4] == b"RIFF"
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    assert "by fake-alto" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "file", "magic"),
    [
        (["-o", "a.flac"], "a.flac", b"fLaC"),
        (["-o", "a.ogg"], "a.ogg", b"OggS"),
        (["-o", "a.bin", "--format", "flac"], "a.bin", b"fLaC"),
        (["-o", "a.unheard-of"], "a.unheard-of", b"RIFF"),
        (["--format", "flac"], "speech.flac", b"fLaC"),
    ],
)
def test_the_format_is_that_of_the_name_or_the_option(run: Run, arguments: list[str], file: str, magic: bytes) -> None:
    assert run("Hello.", *arguments).exit_code == 0
    assert Path(file).read_bytes().startswith(magic)


def test_the_result_is_described_as_json(run: Run) -> None:
    result = run("Hello.", "--json", "--voice", "ash", "-o", "a.wav")
    described = json.loads(result.stdout)
    assert (described["file"], described["voice"], described["format"]) == ("a.wav", "fake-bass", "wav")
    assert described["duration_s"] > 0
    assert described["bytes"] == Path("a.wav").stat().st_size


def test_a_dash_is_standard_input_and_output(run: Run) -> None:
    result = run("-", "-o", "-", stdin="Hello there.\n")
    assert result.stdout_bytes[:4] == b"RIFF"
    assert not list(Path().iterdir())


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_is_refused(run: Run, text: str) -> None:
    result = run(text)
    assert (result.exit_code, result.stderr) == (1, "The text is empty. Give the words to speak.\n")


def test_an_unknown_voice_is_named(run: Run) -> None:
    result = run("Hello.", "--voice", "nobody")
    assert result.exit_code == 1
    assert "fake-alto" in result.stderr
    assert not list(Path().iterdir())


def test_a_speed_out_of_range_is_wrong_usage(run: Run) -> None:
    assert run("Hello.", "--speed", "9").exit_code == 2


def test_a_file_that_cannot_be_written_is_named(run: Run) -> None:
    result = run("Hello.", "-o", "nowhere/a.wav")
    assert result.exit_code == 1
    assert "nowhere/a.wav cannot be written" in result.stderr


def test_how_it_is_spoken_can_be_told(run: Run) -> None:
    Path("words.json").write_text('[{"word": "x", "say": "ex"}]')
    result = run("<speak>x</speak>", "--ssml", "--lexicon", "words.json", "--gain", "-3", "--as-written", "--json")
    assert result.exit_code == 0
    as_word, as_letter = (json.loads(run(text, "--json").stdout)["duration_s"] for text in ("ex", "x"))
    assert json.loads(result.stdout)["duration_s"] == as_word != as_letter


@pytest.mark.parametrize("lexicon", ["not json", '[{"word": "x", "sound": "y"}]'])
def test_a_lexicon_that_is_none_is_refused(run: Run, lexicon: str) -> None:
    Path("words.json").write_text(lexicon)
    result = run("x", "--lexicon", "words.json")
    assert result.exit_code == 1
    assert "The lexicon is not right" in result.stderr


@respx.mock
def test_a_server_is_told_how_to_speak(run: Run) -> None:
    route = respx.post("http://speech.test/v1/audio/speech").respond(content=b"sound")
    assert run("<speak/>x", "--url", "http://speech.test", "--ssml", "--gain", "3").exit_code == 0
    asked = json.loads(route.calls.last.request.read())
    assert asked == {"input": "<speak/>x", "speed": 1.0, "response_format": "wav", "ssml": True, "gain_db": 3.0}


@respx.mock
def test_a_server_can_do_it(run: Run) -> None:
    route = respx.post("http://speech.test/v1/audio/speech").respond(content=b"sound")
    result = run("Hello.", "--url", "http://speech.test", "--voice", "alloy", "--speed", "1.5", "-o", "a.mp3", "--json")
    assert result.exit_code == 0
    assert Path("a.mp3").read_bytes() == b"sound"
    assert json.loads(route.calls.last.request.read()) == {
        "input": "Hello.",
        "speed": 1.5,
        "response_format": "mp3",
        "voice": "alloy",
    }
    assert json.loads(result.stdout)["duration_s"] is None
