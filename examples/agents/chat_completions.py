"""An agent that hears and speaks, by the OpenAI Chat Completions API or any that is compatible.

    OPENAI_BASE_URL=https://api.openai.com/v1 OPENAI_API_KEY=… MODEL=gpt-4.1-mini python chat_completions.py

Without OPENAI_BASE_URL a scripted model answers, so that it runs without a key. Start Antiphon first: `make serve`.
"""

from __future__ import annotations

import json
import os
from typing import Any

import httpx
from speech_tools import SpeechTools
from workbench import INSTRUCTIONS, MAX_STEPS, TASK, UNFINISHED, workbench


def converse(model: httpx.Client, tools: SpeechTools, task: str) -> str:
    """The loop: ask the model, do what it wants done, tell it what came of it, until it has an answer.

    Args:
        model: A client whose base is the endpoint, with its key.
        tools: What the model can do.
        task: What the user wants.
    """
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": task},
    ]
    definitions = tools.definitions("openai-strict")
    for _ in range(MAX_STEPS):
        request = {"model": os.environ.get("MODEL", "scripted"), "messages": messages, "tools": definitions}
        answer = model.post("chat/completions", json=request).raise_for_status().json()["choices"][0]["message"]
        messages.append(answer)
        if not answer.get("tool_calls"):
            return str(answer["content"])
        for call in answer["tool_calls"]:
            result = tools.call(call["function"]["name"], json.loads(call["function"]["arguments"]))
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    return UNFINISHED


def main() -> None:
    """Give the agent a recording and a task."""
    headers = {"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'none')}"}
    with workbench(os.environ.get("OPENAI_BASE_URL"), headers) as (model, tools):
        print(converse(model, tools, TASK))


if __name__ == "__main__":
    main()
