from __future__ import annotations

import base64
import importlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import respx

MODEL_URL = "http://model.test"
SERVER_URL = "http://speech.test"
TRANSCRIPT = "The invention of movable metal letters."
AGENTS = {
    "chat_completions": ("/v1/chat/completions", f"{MODEL_URL}/v1"),
    "responses": ("/v1/responses", f"{MODEL_URL}/v1"),
    "messages": ("/v1/messages", f"{MODEL_URL}/v1"),
}
EVERY_AGENT = pytest.mark.parametrize("name", list(AGENTS))


@pytest.fixture
def load(root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    cast("Any", monkeypatch).syspath_prepend(str(root / "examples" / "agents"))
    return importlib.import_module


@pytest.fixture
def folder(root: Path, tmp_path: Path) -> Path:
    shutil.copy(root / "examples" / "invention-of-printing.flac", tmp_path)
    return tmp_path


@pytest.fixture
def antiphon() -> Iterator[respx.MockRouter]:
    def transcribe(request: httpx.Request) -> httpx.Response:
        if "lang" in json.loads(request.content):
            message = "lang is not a field. Did you mean language?"
            return httpx.Response(400, json={"error": {"message": message, "code": "invalid_request"}})
        return httpx.Response(200, json={"text": TRANSCRIPT})

    speech = {"audio": base64.b64encode(b"sound").decode(), "format": "wav", "duration_s": 2.5}
    with respx.mock(assert_all_called=False) as router:
        router.get(f"{SERVER_URL}/v1/tools").mock(side_effect=defined)
        router.post(f"{SERVER_URL}/v1/tools/transcribe", name="transcribe").mock(side_effect=transcribe)
        router.post(f"{SERVER_URL}/v1/tools/synthesize", name="synthesize").respond(json=speech)
        yield router


def defined(request: httpx.Request) -> httpx.Response:
    functions = [{"type": "function", "function": {"name": name, "strict": True}} for name in ("transcribe", "say")]
    by_format = {"openai-strict": functions, "anthropic": [{"name": "transcribe"}, {"name": "say"}]}
    return httpx.Response(200, json=by_format[request.url.params["format"]])


def converse(load: Any, name: str, folder: Path, router: respx.MockRouter) -> tuple[str, list[dict[str, Any]]]:
    """The agent's answer, and what it asked the model."""
    path, base_url = AGENTS[name]
    answer = load("scripted_model").ANSWERS[path]
    asked: list[dict[str, Any]] = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(200, json=answer(asked[-1]))

    router.post(f"{MODEL_URL}{path}").mock(side_effect=reply)
    with httpx.Client(base_url=base_url) as model, httpx.Client(base_url=SERVER_URL) as server:
        tools = load("speech_tools").SpeechTools(server, folder)
        return load(name).converse(model, tools, "What is said in @invention-of-printing.flac?"), asked


@EVERY_AGENT
def test_an_agent_calls_tools_until_the_model_has_an_answer(
    load: Any, name: str, folder: Path, antiphon: respx.MockRouter
) -> None:
    answer, asked = converse(load, name, folder, antiphon)
    assert answer == "I have read it aloud: 2.5 seconds, in speech-1.wav."
    assert (folder / "speech-1.wav").read_bytes() == b"sound"
    assert [len(request["tools"]) for request in asked] == [2] * 4
    sent = json.loads(antiphon["transcribe"].calls.last.request.content)
    assert base64.b64decode(sent["audio"]) == (folder / "invention-of-printing.flac").read_bytes()
    assert json.loads(antiphon["synthesize"].calls.last.request.content) == {"text": f"It says: {TRANSCRIPT}"}


@EVERY_AGENT
def test_an_error_of_a_tool_goes_to_the_model_which_mends_its_call(
    load: Any, name: str, folder: Path, antiphon: respx.MockRouter
) -> None:
    _, asked = converse(load, name, folder, antiphon)
    assert "Did you mean language?" in json.dumps(asked[1])
    assert antiphon["transcribe"].call_count == 2


@EVERY_AGENT
def test_a_model_never_sees_audio(load: Any, name: str, folder: Path, antiphon: respx.MockRouter) -> None:
    _, asked = converse(load, name, folder, antiphon)
    assert base64.b64encode(b"sound").decode() not in json.dumps(asked)


def test_responses_have_functions_beside_their_type(load: Any, folder: Path, antiphon: respx.MockRouter) -> None:
    _, asked = converse(load, "responses", folder, antiphon)
    assert asked[0]["tools"][0] == {"type": "function", "name": "transcribe", "strict": True}


def test_a_model_that_never_ends_is_stopped(load: Any, folder: Path, antiphon: respx.MockRouter) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "transcribe", "arguments": '{"lang": "en"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    route = antiphon.post(f"{MODEL_URL}/v1/chat/completions").respond(json={"choices": [{"message": message}]})
    with httpx.Client(base_url=f"{MODEL_URL}/v1") as model, httpx.Client(base_url=SERVER_URL) as server:
        agent = load("chat_completions")
        answer = agent.converse(model, load("speech_tools").SpeechTools(server, folder), "Go on for ever.")
    assert answer == "I have not come to an end."
    assert route.call_count == agent.MAX_STEPS


def test_a_file_name_from_the_model_cannot_leave_the_folder(load: Any, folder: Path) -> None:
    secret = folder.parent / "secret.wav"
    secret.write_bytes(b"secret")
    with httpx.Client(base_url=SERVER_URL) as server:
        tools = load("speech_tools").SpeechTools(server, folder)
        assert "cannot be read" in tools.call("transcribe", {"audio": "@../secret.wav"})


@EVERY_AGENT
def test_an_agent_runs_at_the_endpoint_named_by_the_environment(
    load: Any,
    name: str,
    antiphon: respx.MockRouter,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, base_url = AGENTS[name]
    provider = "ANTHROPIC" if name == "messages" else "OPENAI"
    monkeypatch.setenv(f"{provider}_BASE_URL", MODEL_URL if name == "messages" else base_url)
    monkeypatch.setenv(f"{provider}_API_KEY", "key")
    monkeypatch.setenv("MODEL", "some-model")
    agent = load(name)
    monkeypatch.setattr(load("workbench"), "URL", SERVER_URL)
    answer = load("scripted_model").ANSWERS[path]

    def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answer(json.loads(request.content)))

    route = antiphon.post(f"{MODEL_URL}{path}").mock(side_effect=reply)
    agent.main()
    assert "I have read it aloud" in capsys.readouterr().out
    request = route.calls.last.request
    assert "key" in {request.headers.get("x-api-key"), request.headers.get("authorization", "").removeprefix("Bearer ")}
    assert json.loads(request.content)["model"] == "some-model"
