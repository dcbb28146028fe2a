from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
from click.testing import CliRunner, Result

from server.cli.main import antiphon
from server.cli.tools import DEFAULT_URL
from tools.docs import tools_page
from tools.export import ToolFormat, exported
from tools.registry import TOOLS
from tools.schema import json_schema


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(antiphon, ["tools", *arguments], input=stdin)


def sent(route: respx.Route) -> dict[str, Any]:
    return json.loads(route.calls.last.request.content)


@pytest.fixture
def call() -> Any:
    """Runs a tool's subcommand against a server that answers; gives what was sent."""

    def call_tool(name: str, *options: str, answer: Any = None, stdin: bytes | None = None) -> dict[str, Any]:
        with respx.mock(base_url=DEFAULT_URL) as server:
            route = server.post(f"/v1/tools/{name}").mock(return_value=httpx.Response(200, json=answer or {}))
            result = run(name, *options, stdin=stdin)
        assert result.exit_code == 0, result.output
        return sent(route)

    return call_tool


def test_the_list_names_every_tool() -> None:
    output = run("list").output
    assert all(tool.name in output for tool in TOOLS)


def test_the_list_as_json_has_the_schemas() -> None:
    listed = json.loads(run("list", "--json").output)
    assert [entry["name"] for entry in listed] == [tool.name for tool in TOOLS]
    assert all(entry["input_schema"]["type"] == "object" for entry in listed)


def test_docs_prints_the_page() -> None:
    assert run("docs").output == tools_page(TOOLS)


def test_schema_prints_one_tool() -> None:
    assert json.loads(run("schema", "say").output)["input_schema"]["required"] == ["session_id", "text"]


@pytest.mark.parametrize("tool_format", list(ToolFormat))
def test_export_prints_every_format(tool_format: ToolFormat) -> None:
    # Its value, as a shell has it: of an enum click would take the member itself.
    assert run("export", "--format", tool_format.value).stdout_bytes == exported(TOOLS, tool_format)


@pytest.mark.parametrize("tool", tuple(TOOLS), ids=lambda tool: tool.name)
def test_every_tool_has_a_subcommand_with_an_option_for_each_argument(tool: Any) -> None:
    result = run(tool.name, "--help")
    assert result.exit_code == 0
    text = "".join(result.output.replace("│", "").split())
    for name in json_schema(tool.input)["properties"]:
        assert f"--{name.replace('_', '-')}" in text


def test_only_what_was_given_is_sent(call: Any) -> None:
    assert call("list_voices") == {}
    assert call("say", "--session-id", "s", "--text", "Hi.") == {"session_id": "s", "text": "Hi."}


def test_options_have_the_types_of_the_arguments(call: Any) -> None:
    arguments = call("transcribe", "--audio", "AAAA", "--beam-size", "3", "--temperature", "0.5", "--word-times")
    assert arguments == {"audio": "AAAA", "beam_size": 3, "temperature": 0.5, "word_times": True}
    assert call("say", "--session-id", "s", "--text", "Hi.", "--no-wait")["wait"] is False
    words = call("transcribe", "--audio", "AAAA", "--hotwords", "one", "--hotwords", "two")["hotwords"]
    assert words == ["one", "two"]
    assert call("open_session", "--turn", '{"barge_in": false}') == {"turn": {"barge_in": False}}


def test_a_file_of_audio_is_sent_as_base64(call: Any, tmp_path: Path) -> None:
    file = tmp_path / "speech.wav"
    file.write_bytes(b"RIFF\xff")
    assert base64.b64decode(call("transcribe", "--audio", f"@{file}")["audio"]) == b"RIFF\xff"
    assert base64.b64decode(call("transcribe", "--audio", "@-", stdin=b"\x00\xff")["audio"]) == b"\x00\xff"


def test_a_file_of_text_is_sent_as_text(call: Any, tmp_path: Path) -> None:
    file = tmp_path / "speech.txt"
    file.write_text("Grüße.", "utf-8")
    assert call("say", "--session-id", "s", "--text", f"@{file}")["text"] == "Grüße."
    assert call("say", "--session-id", "s", "--text", "@@home")["text"] == "@home"


def test_audio_of_the_result_is_saved_and_not_printed(tmp_path: Path) -> None:
    answer = {"audio": base64.b64encode(b"sound" * 1_000).decode(), "format": "wav"}
    file = tmp_path / "hello.wav"
    with respx.mock(base_url=DEFAULT_URL) as server:
        server.post("/v1/tools/synthesize").mock(return_value=httpx.Response(200, json=answer))
        shown = run("synthesize", "--text", "Hi.", "--out", str(file))
        complete = run("synthesize", "--text", "Hi.", "--json")
    assert file.read_bytes() == b"sound" * 1_000
    assert answer["audio"] not in shown.output
    assert json.loads(complete.output) == answer


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("synthesize", "--text", "a", "--format", "ogg"), "is not one of"),
        (("synthesize", "--text", "a", "--speed", "9"), "4.0"),
        (("listen", "--session-id", "s", "--timeout-s", "0"), "0.0<x"),
        (("synthesize",), "--text"),
        (("transcribe", "--audio", "@nonesuch.wav"), "cannot be read"),
        (("open_session", "--turn", "{"), "not valid JSON"),
        (("sing",), "No such command"),
    ],
)
def test_bad_options_are_told_before_anything_is_sent(options: tuple[str, ...], words: str) -> None:
    with respx.mock:
        result = run(*options)
    assert result.exit_code == 2
    output = " ".join(result.output.replace("│", "").split())
    assert words.replace(" ", "") in output.replace(" ", "")


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    file = tmp_path / "speech.txt"
    file.write_bytes(b"\xff\xfe")
    result = run("synthesize", "--text", f"@{file}")
    assert result.exit_code == 2
    assert "UTF-8" in result.output


def test_an_error_of_the_server_is_its_message_and_status_1() -> None:
    error = {
        "message": "There is no session 'x'.",
        "type": "invalid_request_error",
        "param": "session_id",
        "code": "unknown_session",
        "retryable": False,
    }
    with respx.mock(base_url=DEFAULT_URL) as server:
        server.post("/v1/tools/listen").mock(return_value=httpx.Response(404, json={"error": error}))
        result = run("listen", "--session-id", "x")
    assert result.exit_code == 1
    assert "There is no session 'x'." in result.output


def test_a_server_elsewhere_can_be_named_and_one_that_is_not_there_is_told() -> None:
    with respx.mock(base_url="http://speech.example:9000") as server:
        route = server.post("/v1/tools/list_voices").mock(side_effect=httpx.ConnectError("refused"))
        result = run("list_voices", "--url", "http://speech.example:9000")
    assert route.called
    assert result.exit_code == 1
    assert "antiphon serve" in result.output
