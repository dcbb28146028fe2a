"""One side of a comparison without servers, in a process of its own: tasks on standard input, answers on output.

``serial`` is faster-whisper's own ``WhisperModel.transcribe``, one clip after the other; ``host`` is Antiphon's
``EngineHost`` with all clips at once. Audio is decoded before the clock starts.

    python -m benchmarks.engine_side serial --device cpu --compute-type int8 --threads 2
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, cast

import anyio
import msgspec
import numpy as np
from anyio import to_thread
from faster_whisper import WhisperModel
from faster_whisper.audio import decode_audio
from msgspec import Struct

from benchmarks.bench import models_dir
from engines.base import AsrOptions
from schemas.audio import SESSION_RATE_HZ, Samples
from server.settings import EngineSettings, ModelSettings, Settings
from server.speech_engines import engine_host

MODEL: Final = "whisper-base"
_MAX_QUEUED: Final = 1_000
_ANSWERS: Final = 9
"""A file descriptor."""


class Task(Struct, frozen=True, kw_only=True):
    """Clips to recognise."""

    files: tuple[str, ...]
    languages: tuple[str, ...]
    beam: int
    trimmed: bool = False


class Answer(Struct, frozen=True, kw_only=True):
    """What came of it."""

    texts: tuple[str, ...]
    wall_s: float
    cpu_s: float


Recognise = Callable[[Task, Sequence[Samples]], Awaitable[list[str]]]


def main() -> None:
    """Serve tasks until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=["serial", "host"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compute-type", default="int8")
    parser.add_argument("--threads", type=int, default=2, help="Cores this side may use, however it divides them.")
    arguments = parser.parse_args()
    # Answers have standard output for themselves: what libraries print goes to the log.
    os.dup2(1, _ANSWERS)
    os.dup2(2, 1)
    anyio.run(_serve, arguments.side, arguments.device, arguments.compute_type, arguments.threads)


async def _serve(side: str, device: str, compute_type: str, threads: int) -> None:
    decoded: dict[str, Samples] = {}
    async with AsyncExitStack() as stack:
        if side == "serial":
            recognise = _serial(device, compute_type, threads)
        else:
            recognise = await _host(stack, device, compute_type)
        silence = np.zeros(SESSION_RATE_HZ, np.float32)
        await recognise(Task(files=("",), languages=("en",), beam=1), [silence])
        _answer(Answer(texts=(), wall_s=0, cpu_s=0))
        while line := await to_thread.run_sync(sys.stdin.buffer.readline):
            task = msgspec.json.decode(line, type=Task)
            for file in set(task.files) - decoded.keys():
                decoded[file] = cast("Any", decode_audio)(str(Path(file)), sampling_rate=SESSION_RATE_HZ)
            samples = [decoded[file] for file in task.files]
            wall, cpu = time.perf_counter(), time.process_time()
            texts = await recognise(task, samples)
            _answer(Answer(texts=tuple(texts), wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - cpu))


def _serial(device: str, compute_type: str, threads: int) -> Recognise:
    model: Any = WhisperModel(
        str(models_dir() / MODEL), device=device, compute_type=compute_type, cpu_threads=threads, num_workers=1
    )

    def transcribe(task: Task, samples: Sequence[Samples]) -> list[str]:
        texts: list[str] = []
        for audio, language in zip(samples, task.languages, strict=True):
            segments, _ = model.transcribe(
                audio, language=language, beam_size=task.beam, condition_on_previous_text=False
            )
            texts.append("".join(segment.text for segment in segments).strip())
        return texts

    async def recognise(task: Task, samples: Sequence[Samples]) -> list[str]:
        return await to_thread.run_sync(transcribe, task, samples)

    return recognise


async def _host(stack: AsyncExitStack, device: str, compute_type: str) -> Recognise:
    settings = Settings(
        # The whole corpus is asked for at once.
        engine=EngineSettings(device=device, compute_type=cast("Any", compute_type), max_queued=_MAX_QUEUED),
        models=ModelSettings(dir=str(models_dir()), asr=MODEL),
    )
    host = await stack.enter_async_context(engine_host(settings))

    async def recognise(task: Task, samples: Sequence[Samples]) -> list[str]:
        texts = [""] * len(samples)

        async def one(index: int) -> None:
            options = AsrOptions(language=task.languages[index], beam_size=task.beam, trimmed=task.trimmed)
            texts[index] = (await host.transcribe(samples[index], options)).text

        async with anyio.create_task_group() as tasks:
            for index in range(len(samples)):
                tasks.start_soon(one, index)
        return texts

    return recognise


def _answer(answer: Answer) -> None:
    os.write(_ANSWERS, msgspec.json.encode(answer) + b"\n")


if __name__ == "__main__":
    main()
