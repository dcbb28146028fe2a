"""What the agents here have in common: a task, a folder with a recording, and clients of the model and of Antiphon."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
from scripted_model import RECORDING, scripted_model
from speech_tools import URL, SpeechTools

INSTRUCTIONS = "You hear and speak through tools. For audio write @NAME, the name of a file."
TASK = f"What is said in @{RECORDING}? Read it aloud."
MAX_STEPS = 10
UNFINISHED = "I have not come to an end."


@contextmanager
def workbench(endpoint: str | None, headers: dict[str, str]) -> Generator[tuple[httpx.Client, SpeechTools]]:
    """A client of the model, and the tools.

    Args:
        endpoint: Of the model, with ``/v1``; without one the scripted model answers.
        headers: With the key.
    """
    with scripted_model() as scripted, tempfile.TemporaryDirectory() as folder:
        shutil.copy(Path(__file__).parents[1] / RECORDING, folder)
        with (
            httpx.Client(base_url=endpoint or f"{scripted}/v1", headers=headers, timeout=120) as model,
            httpx.Client(base_url=URL, timeout=120) as server,
        ):
            yield model, SpeechTools(server, Path(folder))
