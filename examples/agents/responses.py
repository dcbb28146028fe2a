"""An agent that hears and speaks, by the OpenAI Responses API or any that is compatible.

    OPENAI_BASE_URL=https://api.openai.com/v1 OPENAI_API_KEY=… MODEL=gpt-4.1-mini python responses.py

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
    history: list[dict[str, Any]] = [{"role": "user", "content": task}]
    # Here a function's name and schema stand beside its type.
    definitions = [{"type": "function", **tool["function"]} for tool in tools.definitions("openai-strict")]
    for _ in range(MAX_STEPS):
        request = {
            "model": os.environ.get("MODEL", "scripted"),
            "instructions": INSTRUCTIONS,
            "input": history,
            "tools": definitions,
        }
        output = model.post("responses", json=request).raise_for_status().json()["output"]
        history += output
        calls = [item for item in output if item["type"] == "function_call"]
        if not calls:
            texts = [part["text"] for item in output if item["type"] == "message" for part in item["content"]]
            return " ".join(texts)
        for call in calls:
            result = tools.call(call["name"], json.loads(call["arguments"]))
            history.append({"type": "function_call_output", "call_id": call["call_id"], "output": result})
    return UNFINISHED


def main() -> None:
    """Give the agent a recording and a task."""
    headers = {"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'none')}"}
    with workbench(os.environ.get("OPENAI_BASE_URL"), headers) as (model, tools):
        print(converse(model, tools, TASK))


if __name__ == "__main__":
    main()
