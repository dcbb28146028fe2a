"""An agent that hears and speaks, by Anthropic's Messages API or any that is compatible.

    ANTHROPIC_BASE_URL=https://api.anthropic.com ANTHROPIC_API_KEY=… MODEL=claude-sonnet-4-5 python messages.py

Without ANTHROPIC_BASE_URL a scripted model answers, so that it runs without a key. Start Antiphon first: `make serve`.
"""

from __future__ import annotations

import json
import os
from typing import Any

import httpx
from speech_tools import SpeechTools
from workbench import INSTRUCTIONS, MAX_STEPS, TASK, UNFINISHED, workbench

MAX_TOKENS = 1_024


def converse(model: httpx.Client, tools: SpeechTools, task: str) -> str:
    """The loop: ask the model, do what it wants done, tell it what came of it, until it has an answer.

    Args:
        model: A client whose base is the endpoint, with its key.
        tools: What the model can do.
        task: What the user wants.
    """
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": task}]}]
    definitions = tools.definitions("anthropic")
    for _ in range(MAX_STEPS):
        request = {
            "model": os.environ.get("MODEL", "scripted"),
            "max_tokens": MAX_TOKENS,
            "system": INSTRUCTIONS,
            "messages": messages,
            "tools": definitions,
        }
        answer = model.post("messages", json=request).raise_for_status().json()
        messages.append({"role": "assistant", "content": answer["content"]})
        calls = [block for block in answer["content"] if block["type"] == "tool_use"]
        if not calls:
            return " ".join(block["text"] for block in answer["content"] if block["type"] == "text")
        results: list[dict[str, Any]] = []
        for call in calls:
            result = tools.call(call["name"], call["input"])
            is_error = "error" in json.loads(result)
            results.append({"type": "tool_result", "tool_use_id": call["id"], "content": result, "is_error": is_error})
        messages.append({"role": "user", "content": results})
    return UNFINISHED


def main() -> None:
    """Give the agent a recording and a task."""
    address = os.environ.get("ANTHROPIC_BASE_URL")
    headers = {"x-api-key": os.environ.get("ANTHROPIC_API_KEY", "none"), "anthropic-version": "2023-06-01"}
    with workbench(address and f"{address}/v1", headers) as (model, tools):
        print(converse(model, tools, TASK))


if __name__ == "__main__":
    main()
