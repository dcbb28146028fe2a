"""Antiphon's tools, as an agent uses them: their definitions in the model's format, and calls.

A model cannot write audio. Where a tool takes or returns it, the model sees the name of a file, marked by @, of one
folder; what is in the file goes between this module and the server.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import httpx

URL = os.environ.get("ANTIPHON_URL", "http://127.0.0.1:8080")


class SpeechTools:
    """The tools of a running server.

    Args:
        server: A client whose base is the server's address.
        folder: Where the model's files are.
    """

    def __init__(self, server: httpx.Client, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._saved = 0

    def definitions(self, tool_format: str) -> Any:  # noqa: ANN401  a shape for each format
        """The tools as ``openai``, ``openai-strict``, ``anthropic`` … want them."""
        return self._server.get("/v1/tools", params={"format": tool_format}).raise_for_status().json()

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """What to hand back to the model, as JSON: the tool's result, or its error, which says what to do."""
        print(f"  {name}({json.dumps(arguments, ensure_ascii=False)})")
        try:
            given = {key: self._read(value) for key, value in arguments.items()}
        except OSError as error:
            return json.dumps({"error": {"message": f"The file cannot be read: {error.strerror}."}})
        result = self._server.post(f"/v1/tools/{name}", json=given).json()
        if "audio" in result:
            result["audio"] = self._save(base64.b64decode(result["audio"]), result["format"])
        text = json.dumps(result, ensure_ascii=False)
        print(f"    {text[:160]}")
        return text

    def _read(self, value: object) -> object:
        if not (isinstance(value, str) and value.startswith("@")):
            return value
        # The name comes from a model: it is one in the folder, whatever path it says.
        return base64.b64encode((self._folder / Path(value[1:]).name).read_bytes()).decode()

    def _save(self, audio: bytes, audio_format: str) -> str:
        self._saved += 1
        file = self._folder / f"speech-{self._saved}.{audio_format}"
        file.write_bytes(audio)
        return f"@{file.name}"
