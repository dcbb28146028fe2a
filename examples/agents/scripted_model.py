"""A model that follows a script, at an HTTP endpoint of its own: so that the agents run without a key.

It speaks the three protocols of the agents, as far as they need: chat completions and responses as OpenAI has them,
messages as Anthropic has them. It makes one mistake, and learns from the error.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RECORDING = "invention-of-printing.flac"


def next_step(results: list[str]) -> tuple[str, dict[str, Any]] | str:
    """The tool to call and its arguments, or the answer.

    Args:
        results: What the tools have returned so far, as JSON.
    """
    match results:
        case []:
            return "transcribe", {"audio": f"@{RECORDING}", "lang": "en"}
        case [mistake]:
            assert "lang is not a field" in mistake
            return "transcribe", {"audio": f"@{RECORDING}", "language": "en"}
        case [_, transcript]:
            return "synthesize", {"text": f"It says: {json.loads(transcript)['text']}"}
        case _:
            spoken = json.loads(results[-1])
            return f"I have read it aloud: {spoken['duration_s']:.1f} seconds, in {spoken['audio'][1:]}."


def chat_completion(request: dict[str, Any]) -> dict[str, Any]:
    """``POST /v1/chat/completions``."""
    step = next_step([message["content"] for message in request["messages"] if message["role"] == "tool"])
    message: dict[str, Any] = {"role": "assistant", "content": step if isinstance(step, str) else None}
    if not isinstance(step, str):
        function = {"name": step[0], "arguments": json.dumps(step[1])}
        message["tool_calls"] = [{"id": f"call_{len(request['messages'])}", "type": "function", "function": function}]
    reason = "stop" if isinstance(step, str) else "tool_calls"
    return {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": reason}]}


def response(request: dict[str, Any]) -> dict[str, Any]:
    """``POST /v1/responses``."""
    step = next_step([item["output"] for item in request["input"] if item.get("type") == "function_call_output"])
    item: dict[str, Any]
    if isinstance(step, str):
        item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": step}]}
    else:
        call_id = f"call_{len(request['input'])}"
        item = {"type": "function_call", "call_id": call_id, "name": step[0], "arguments": json.dumps(step[1])}
    return {"object": "response", "status": "completed", "output": [item]}


def message(request: dict[str, Any]) -> dict[str, Any]:
    """``POST /v1/messages``."""
    blocks = [block for message in request["messages"] if message["role"] == "user" for block in message["content"]]
    step = next_step([block["content"] for block in blocks if block["type"] == "tool_result"])
    content: dict[str, Any]
    if isinstance(step, str):
        content = {"type": "text", "text": step}
    else:
        content = {"type": "tool_use", "id": f"toolu_{len(blocks)}", "name": step[0], "input": step[1]}
    reason = "end_turn" if isinstance(step, str) else "tool_use"
    return {"type": "message", "role": "assistant", "content": [content], "stop_reason": reason}


ANSWERS = {"/v1/chat/completions": chat_completion, "/v1/responses": response, "/v1/messages": message}


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(ANSWERS[self.path](request)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        """Nothing: the agent says what happens."""


@contextmanager
def scripted_model() -> Generator[str]:
    """Runs the model; gives its base URL, without ``/v1``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
