"""Speech for a language-model agent: the typed tools, called over HTTP as a function call would.

Run `make serve` in one terminal and `.venv/bin/python examples/agent_tools.py` in another.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import httpx

URL = os.environ.get("ANTIPHON_URL", "http://127.0.0.1:8080")
RECORDING = Path(__file__).with_name("invention-of-printing.flac")


def main() -> None:
    """List the tools, then use three of them."""
    with httpx.Client(base_url=URL, timeout=120) as server:
        functions = function_definitions(server)
        print("functions:", ", ".join(function["function"]["name"] for function in functions))

        recording = base64.b64encode(RECORDING.read_bytes()).decode()
        heard = call(server, "transcribe", {"audio": recording, "word_times": True})
        print(f"transcribe ({heard['language']}):", heard["text"])
        print("last word:", heard["words"][-1])

        spoken = call(server, "synthesize", {"text": "Ask what you can do.", "format": "wav"})
        print(f"synthesize: {spoken['duration_s']:.1f} s of {spoken['content_type']} by {spoken['voice']}")

        # Arguments a model makes up are refused, with a message it can learn from.
        print("a mistake:", call(server, "synthesize", {"text": "Hello.", "speeed": 2}))


def function_definitions(server: httpx.Client) -> list[dict[str, Any]]:
    """The tools as `tools=` of a chat completion; other providers want the same three fields under other names."""
    tools = server.get("/v1/tools").raise_for_status().json()["tools"]
    return [
        {
            "type": "function",
            "function": {
                "name": tool["name"],
                "description": tool["description"],
                "parameters": tool["input_schema"],
            },
        }
        for tool in tools
    ]


def call(server: httpx.Client, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What to hand back to the model: the tool's result, or its error."""
    return server.post(f"/v1/tools/{name}", json=arguments).json()


if __name__ == "__main__":
    main()
