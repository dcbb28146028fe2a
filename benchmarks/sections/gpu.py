"""What is measured on a machine with a GPU: the same sections with ``--device cuda``."""

from __future__ import annotations

from typing import Any, cast

import ctranslate2

from benchmarks.bench import Bench
from benchmarks.report import Row
from benchmarks.sections.result import Result

COMMAND = "python -m benchmarks all --device cuda --compute-type float16 --out bench-out-gpu"
_ROWS = (
    ("asr", "Recognition: throughput and word error rate"),
    ("tts", "Synthesis: first audio and gaps"),
    ("turn", "Speech end → final transcript"),
    ("overhead", "The server over the engine"),
    ("peers", "Beside other servers"),
)


async def run(bench: Bench, result: Result) -> None:
    """Rows that say what to run where, unless this run is on a GPU itself."""
    if bench.device.startswith("cuda"):
        result.notes.append("This run is on a GPU: the other sections are the measurement.")
        return
    there = int(cast("Any", ctranslate2).get_cuda_device_count())
    where = "There is a GPU here; it is measured by" if there else "There is no GPU here. On a machine with one:"
    result.rows += [
        Row(id=f"gpu.{name}", title=f"On a GPU. {title}", unit="", reason=f"{where} {COMMAND}") for name, title in _ROWS
    ]
