"""The other end of :mod:`benchmarks.engine_side`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Literal

import anyio
import msgspec
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from benchmarks.bench import Bench
from benchmarks.clips import Clip
from benchmarks.engine_side import Answer, Task
from benchmarks.machine import pinned
from benchmarks.processes import READY_S, STOP_S, NotStartedError
from engines.memory import glibc_tunables

_LINE_BYTES = 1_000_000
_TASK_S = 300.0


class Side:
    """One side, loaded and warm."""

    def __init__(self, process: Process, command: str) -> None:
        assert process.stdout is not None
        self._process = process
        self._lines = BufferedByteReceiveStream(process.stdout)
        self.command = command

    async def recognise(self, clips: Sequence[Clip], *, beam: int, trimmed: bool = False) -> Answer:
        """Have clips recognised; serially or all at once, as the side does."""
        task = Task(
            files=tuple(str(clip.path) for clip in clips),
            languages=tuple(clip.language for clip in clips),
            beam=beam,
            trimmed=trimmed,
        )
        assert self._process.stdin is not None
        await self._process.stdin.send(msgspec.json.encode(task) + b"\n")
        return await self.answer(_TASK_S)

    async def answer(self, timeout_s: float) -> Answer:
        """The next answer. Raises ``TimeoutError``, or ``NotStartedError`` if the process has ended."""
        with anyio.fail_after(timeout_s):
            try:
                line = await self._lines.receive_until(b"\n", _LINE_BYTES)
            except anyio.IncompleteRead as error:
                raise NotStartedError(f"{self.command} has ended; its log says why.") from error
        return msgspec.json.decode(line, type=Answer)


@asynccontextmanager
async def side(bench: Bench, kind: Literal["serial", "host"]) -> AsyncGenerator[Side]:
    """One side in a process of its own, on the cores of the engines.

    Raises:
        NotStartedError: It could not load its model.
    """
    command = [sys.executable, "-m", "benchmarks.engine_side", kind, "--device", bench.device]
    command += ["--compute-type", bench.compute_type, "--threads", str(bench.threads)]
    whole = pinned(command, bench.cores.engines)
    await anyio.Path(bench.logs).mkdir(parents=True, exist_ok=True)
    with (bench.logs / f"{kind}.log").open("wb") as log:
        # Memory as the server has it: what is measured beside it is the server's own work.
        environment = {**os.environ, "GLIBC_TUNABLES": tunables} if (tunables := glibc_tunables()) else None
        process = await anyio.open_process(
            whole, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment
        )
        try:
            found = Side(process, " ".join(whole))
            await found.answer(READY_S)
            yield found
        finally:
            with anyio.CancelScope(shield=True):
                assert process.stdin is not None
                await process.stdin.aclose()
                with anyio.move_on_after(STOP_S):
                    await process.wait()
                if process.returncode is None:
                    process.kill()
                    await process.wait()
