"""A decode worker as the server sees it: a process to start, give a file, and end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import anyio
import numpy as np
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from engines.codec.decode_protocol import (
    LENGTH_BYTES,
    MAX_MESSAGE_BYTES,
    PCM16_BYTES,
    Decoded,
    DecodeRequest,
    Failed,
    Ready,
    Reply,
    encode_message,
    reply_decoder,
)
from schemas.audio import Samples, float_from_pcm16

_PIPE_BYTES: Final = 64 * 1024
"""How much is written to or read from a worker at once: what a pipe holds, on Linux."""

_RECYCLE_RSS_BYTES: Final = 256 * 1024 * 1024
_RECYCLE_FILES: Final = 500
"""A worker that once grew large, or has seen many files, is replaced: FFmpeg may have leaked."""

_EXIT_S: Final = 1.0
"""How long a worker whose pipe is closed may take to be gone."""

# The worker sees nothing of the server's environment: that is where keys are.
_PASSED_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")


class WorkerDiedError(Exception):
    """The worker's end of the pipe is closed, or talks nonsense."""


class WorkerProcess:
    """One worker process, between :meth:`start` and :meth:`end`."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin = process.stdin
        self._stdout = BufferedByteReceiveStream(process.stdout)
        self._pipe_closed = False
        self._killed = False
        self._files = 0
        self._peak_rss_bytes = 0

    @classmethod
    async def start(cls, command: Sequence[str]) -> Self:
        """Start the process; it is not ready yet."""
        environment = {name: os.environ[name] for name in _PASSED_ENVIRONMENT if name in os.environ}
        # One thread: the worker does no algebra, and each idle thread of OpenBLAS costs memory.
        environment |= {"PYTHONPATH": str(Path(__file__).parents[2]), "OPENBLAS_NUM_THREADS": "1"}
        # A session of its own, so that Ctrl-C in a terminal is the server's to handle.
        return cls(await anyio.open_process(command, stderr=None, env=environment, cwd="/", start_new_session=True))

    @property
    def running(self) -> bool:
        """Whether the process is alive, as far as is known."""
        return self._process.returncode is None

    @property
    def spent(self) -> bool:
        """Whether to use another one from now on."""
        return self._files >= _RECYCLE_FILES or self._peak_rss_bytes > _RECYCLE_RSS_BYTES

    async def wait_ready(self) -> None:
        """Wait for the worker to have loaded its libraries."""
        if not isinstance(await self._receive_reply(), Ready):
            raise WorkerDiedError

    async def decode(self, data: bytes, request: DecodeRequest) -> tuple[Decoded | Failed, Samples]:
        """Have one file decoded. If this does not return, the worker must be ended."""
        self._files += 1
        try:
            await self._stdin.send(encode_message(request))
            view = memoryview(data)
            for start in range(0, len(view), _PIPE_BYTES):
                await self._stdin.send(bytes(view[start : start + _PIPE_BYTES]))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            self._pipe_closed = True
            raise WorkerDiedError from error
        reply = await self._receive_reply()
        if isinstance(reply, Ready):
            raise WorkerDiedError
        self._peak_rss_bytes = reply.peak_rss_bytes
        samples = np.empty(reply.samples if isinstance(reply, Decoded) else 0, dtype=np.float32)
        step = _PIPE_BYTES // PCM16_BYTES
        for start in range(0, len(samples), step):
            piece = samples[start : start + step]
            piece[:] = float_from_pcm16(await self._receive(len(piece) * PCM16_BYTES))
        return reply, samples

    async def end(self) -> int:
        """End the process, whatever it does, and wait until it is gone.

        Returns:
            Its return code; negative for a signal, its own if it had died already.
        """
        with anyio.CancelScope(shield=True):
            if self._pipe_closed:
                # It is dying by itself; killed now, what it died of would be lost.
                with anyio.move_on_after(_EXIT_S):
                    await self._process.wait()
            if self._process.returncode is None and not self._killed:
                # Once: before it signals, `kill` takes the status of a process that is gone already, and asyncio,
                # which waits for that status, warns that it never came.
                self._killed = True
                self._process.kill()
            await self._process.aclose()
        return self._process.returncode or 0

    async def _receive_reply(self) -> Reply:
        length = int.from_bytes(await self._receive(LENGTH_BYTES), "big")
        if length > MAX_MESSAGE_BYTES:
            raise WorkerDiedError
        return reply_decoder.decode(await self._receive(length))

    async def _receive(self, length: int) -> bytes:
        try:
            return await self._stdout.receive_exactly(length)
        except (anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            self._pipe_closed = True
            raise WorkerDiedError from error
