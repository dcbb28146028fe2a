from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import respx
from click.testing import CliRunner, Result

from engines.codec.encoder import encode_all
from engines.fake import fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from engines.tones import encode_word
from schemas.audio import AudioFormat
from schemas.tools import ToolProgress, TranscribeInput, TranscribeOutput
from schemas.transcripts import Segment, Word
from server import speech_engines
from server.cli.main import antiphon
from server.settings import Settings

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``antiphon transcribe`` with fake engines."""

    def fake(settings: Settings) -> EngineHost:
        del settings
        return EngineHost(fake_engines(), HostSettings())

    monkeypatch.setattr(speech_engines, "engine_host", fake)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(antiphon, ["transcribe", *arguments])

    return invoke


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "hello.wav"
    path.write_bytes(encode_all(encode_word("hello.", 16_000), AudioFormat.WAV, 16_000))
    return path


def test_one_file_gives_its_text_alone(run: Run, recording: Path) -> None:
    result = run(str(recording))
    assert (result.exit_code, result.stdout) == (0, "hello.\n")


def test_several_files_are_told_apart(run: Run, recording: Path) -> None:
    result = run(str(recording), str(recording))
    assert result.stdout == f"{recording}:\nhello.\n\n" * 2


def test_a_file_that_fails_does_not_stop_the_others(run: Run, recording: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    result = run(str(tmp_path / "empty.wav"), str(tmp_path / "nothing.wav"), str(recording))
    assert result.exit_code == 1
    assert result.stdout == f"{recording}:\nhello.\n\n"
    first, second = result.stderr.strip().splitlines()
    assert first == f"{tmp_path}/empty.wav: The upload is empty. Send a recording."
    assert second == f"{tmp_path}/nothing.wav: It cannot be read: No such file or directory."


@pytest.mark.parametrize("flag", [["--json"], ["--format", "json"]])
def test_json_is_one_line_a_file_failures_included(run: Run, recording: Path, flag: list[str]) -> None:
    result = run(str(recording), "nothing.wav", "--words", *flag)
    assert result.exit_code == 1
    good, bad = map(json.loads, result.stdout.splitlines())
    assert good["transcript"]["text"] == "hello."
    assert good["transcript"]["segments"][0]["words"][0]["text"] == "hello."
    assert bad == {
        "file": "nothing.wav",
        "error": {
            "code": "invalid_request",
            "message": "It cannot be read: No such file or directory.",
            "retryable": False,
            "param": None,
            "retry_after_s": None,
        },
    }


def test_subtitles_are_written(run: Run, recording: Path) -> None:
    assert run(str(recording), "--format", "srt").stdout.startswith("1\n00:00:00,040 --> ")
    assert run(str(recording), "--format", "vtt").stdout.startswith("WEBVTT\n\n00:00:00.040 --> ")


def test_an_unknown_model_is_named(run: Run, recording: Path) -> None:
    result = run(str(recording), "--model", "nonesuch")
    assert result.exit_code == 1
    assert "fake-asr" in result.stderr


TRANSCRIPT = TranscribeOutput(
    text="hello.",
    language="en",
    language_probability=0.9,
    duration_s=0.32,
    segments=(Segment(1, " hello.", 0.0, 0.3, -0.1, 1.0, 0.0, words=(Word("hello.", 0.0, 0.3, 0.8),)),),
    words=(Word("hello.", 0.0, 0.3, 0.8),),
    model="whisper-base",
)
TOOL_URL = "http://speech.test/v1/tools/transcribe"


def stream(*events: tuple[str, Any]) -> str:
    """Server-sent events."""
    return "".join(f"event: {name}\ndata: {msgspec.json.encode(data).decode()}\n\n" for name, data in events)


@respx.mock
def test_a_server_can_do_it(run: Run, recording: Path) -> None:
    text = stream(("progress", ToolProgress(done_s=0.3, total_s=0.32)), ("result", TRANSCRIPT))
    route = respx.post(TOOL_URL).respond(text=text, content_type="text/event-stream")
    options = ("--language", "en", "--words", "--model", "whisper-base", "--prompt", "Hi", "--whole", "--json")
    result = run(str(recording), "--url", "http://speech.test/v1/", *options)
    assert result.exit_code == 0, result.output
    transcript = json.loads(result.stdout)["transcript"]
    assert transcript["segments"][0]["words"][0]["text"] == "hello."
    sent = msgspec.json.decode(route.calls.last.request.read(), type=TranscribeInput)
    assert sent == TranscribeInput(
        audio=base64.b64encode(recording.read_bytes()).decode(),
        language="en",
        model="whisper-base",
        prompt="Hi",
        word_times=True,
        whole=True,
    )


@respx.mock
def test_a_server_translates(run: Run, recording: Path) -> None:
    route = respx.post(TOOL_URL).respond(text=stream(("result", TRANSCRIPT)))
    assert run(str(recording), "--url", "http://speech.test", "--task", "translate").stdout == "hello.\n"
    assert json.loads(route.calls.last.request.read())["task"] == "translate"


ERROR = {
    "error": {
        "message": "The upload is damaged.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_audio",
        "retryable": False,
    }
}


@respx.mock
def test_the_error_of_a_server_is_shown(run: Run, recording: Path) -> None:
    respx.post(TOOL_URL).respond(422, json=ERROR)
    result = run(str(recording), "--url", "http://speech.test")
    assert (result.exit_code, result.stderr) == (1, f"{recording}: The upload is damaged.\n")


@respx.mock
def test_an_error_in_the_middle_of_a_servers_answer_is_shown(run: Run, recording: Path) -> None:
    respx.post(TOOL_URL).respond(text=stream(("progress", ToolProgress(done_s=0.1)), ("error", ERROR)))
    result = run(str(recording), "--url", "http://speech.test")
    assert (result.exit_code, result.stderr) == (1, f"{recording}: The upload is damaged.\n")


@respx.mock
def test_a_server_that_breaks_off_is_an_error(run: Run, recording: Path) -> None:
    respx.post(TOOL_URL).respond(text=": ping\n\n")
    result = run(str(recording), "--url", "http://speech.test")
    assert result.exit_code == 1
    assert "broke off" in result.stderr


@respx.mock
def test_another_kind_of_server_is_recognised(run: Run, recording: Path) -> None:
    respx.post(TOOL_URL).respond(404, text="<html>")
    assert "status 404. Is it an Antiphon server?" in run(str(recording), "--url", "http://speech.test").stderr


@respx.mock
def test_a_server_that_does_not_answer_is_named(run: Run, recording: Path) -> None:
    respx.post(TOOL_URL).mock(side_effect=httpx.ConnectError("refused"))
    result = run(str(recording), "--url", "http://speech.test")
    assert result.exit_code == 1
    assert "antiphon serve" in result.stderr
