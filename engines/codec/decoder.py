"""Uploaded audio into samples.

Containers are decoded by FFmpeg, which can crash on a broken file and can be made to work for hours on a small one.
So it never runs in the server: :class:`Decoder` keeps a few worker processes (:mod:`engines.codec.decode_worker`),
gives each one file at a time, and ends a worker that takes too long, dies, or whose caller has gone away. Nothing of
one file is left for the next: a worker that did not finish its answer is never used again.

Raw PCM has no header that could lie and is converted here.
"""

from __future__ import annotations

import functools
import math
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self

import anyio
import numpy as np
import structlog
from anyio.abc import TaskGroup
from msgspec import Struct

from engines.codec.container import ACCEPTED_FORMATS, sniff
from engines.codec.decode_protocol import PCM16_BYTES, DecodeRequest, Failed
from engines.codec.resampler import resample
from engines.codec.worker_process import WorkerDiedError, WorkerProcess
from schemas.audio import SESSION_RATE_HZ, PcmAudio, Samples, float_from_pcm16
from schemas.errors import ErrorCode, SpeechError

WORKER_COMMAND: Final = (sys.executable, "-P", "-m", "engines.codec.decode_worker")

_MIB: Final = 1024 * 1024
_IN_THREAD_BYTES: Final = 256 * 1024
"""Raw PCM shorter than this takes less than a millisecond to convert."""

_RETRY_AFTER_S: Final = 1.0
"""Files take tens of milliseconds each; a second later most of a queue is gone."""

_RAW_RATES_HZ: Final = (8_000, 192_000)
_RAW_CHANNELS: Final = 64


_CRASHES: Final = frozenset(
    -number for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT)
)
"""Return codes of a worker in which FFmpeg stumbled over its file."""


class DecodeLimits(Struct, frozen=True, kw_only=True):
    """What one upload may cost."""

    max_duration_s: float = 3_600
    """Decoded seconds, whatever the header says."""
    max_input_bytes: int = 100 * _MIB
    timeout_s: float = 10
    """Seconds that decoding may take …"""
    timeout_s_per_mib: float = 2
    """… and as many more for each MiB of the file: an hour of Opus has some 10 MiB and takes 4 to 8 s on a slow core"""
    wait_s: float = 10
    """Seconds to wait for a free worker."""
    start_s: float = 30
    """Seconds a worker may take to start: 0.3 s as a rule, more on a machine that is busy loading models."""
    workers: int = 2
    max_waiting: int = 32
    """Files that may wait for a worker; one more is refused at once."""


class RawPcm(Struct, frozen=True):
    """Says that bytes are interleaved signed 16-bit little-endian PCM with no header."""

    sample_rate_hz: int
    channels: int = 1


class Decoder:
    """Decodes uploads. An async context manager: at its end no worker process is left.

    Args:
        limits: What one upload may cost.
        command: How to start a worker. For tests.
    """

    def __init__(self, limits: DecodeLimits | None = None, *, command: Sequence[str] = WORKER_COMMAND) -> None:
        self._limits = limits or DecodeLimits()
        self._command = command
        self._slots = anyio.Semaphore(self._limits.workers)
        self._idle: list[WorkerProcess] = []
        self._alive: set[WorkerProcess] = set()
        self._tasks: TaskGroup | None = None
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger("antiphon.codec")

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(self._start_ahead)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        tasks, self._tasks = self._tasks, None
        assert tasks is not None
        tasks.cancel_scope.cancel()
        # Whoever still decodes or waits meets a dead worker or the closed door, and gives its slot back.
        with anyio.move_on_after(self._limits.start_s, shield=True):
            for worker in tuple(self._alive):
                await self._end(worker)
            for _ in range(self._limits.workers):
                await self._slots.acquire()
        await tasks.__aexit__(None, None, None)  # What went wrong in the body is not the tasks' failure.

    async def decode(
        self, data: bytes, *, sample_rate_hz: int = SESSION_RATE_HZ, raw: RawPcm | None = None
    ) -> PcmAudio:
        """A whole upload as mono samples at ``sample_rate_hz``.

        Args:
            data: The file.
            sample_rate_hz: Rate wanted.
            raw: That ``data`` is raw PCM, and its shape. Otherwise its first bytes say what it is.

        Raises:
            SpeechError: ``empty_audio`` (no bytes), ``no_audio`` (no samples), ``invalid_audio``,
                ``unsupported_format``, ``audio_too_long``, ``body_too_large``; ``invalid_request`` for an
                impossible ``raw``; ``overloaded``, ``deadline_exceeded``, ``engine_failed``, ``shutting_down``.
        """
        if not data:
            raise SpeechError(ErrorCode.EMPTY_AUDIO, "The upload is empty. Send a recording.")
        if len(data) > self._limits.max_input_bytes:
            raise SpeechError(
                ErrorCode.BODY_TOO_LARGE,
                f"The upload is larger than {self._limits.max_input_bytes // _MIB} MiB. Compress it or send pieces.",
            )
        if raw is not None:
            return PcmAudio(await self._decode_raw(data, raw, sample_rate_hz), sample_rate_hz)
        container = sniff(data)
        if container is None:
            raise SpeechError(
                ErrorCode.UNSUPPORTED_FORMAT, f"The upload is no audio file this server reads. Send {ACCEPTED_FORMATS}."
            )
        timeout_s = self._limits.timeout_s + self._limits.timeout_s_per_mib * len(data) / _MIB
        request = DecodeRequest(
            container=container,
            input_bytes=len(data),
            sample_rate_hz=sample_rate_hz,
            max_duration_s=self._limits.max_duration_s,
            cpu_s=math.ceil(timeout_s) + 1,
        )
        async with self._slot():
            return PcmAudio(await self._decode_file(data, request, timeout_s), sample_rate_hz)

    async def _decode_raw(self, data: bytes, raw: RawPcm, sample_rate_hz: int) -> Samples:
        lowest_hz, highest_hz = _RAW_RATES_HZ
        if not lowest_hz <= raw.sample_rate_hz <= highest_hz:
            raise SpeechError(
                ErrorCode.INVALID_REQUEST,
                f"Raw PCM at {raw.sample_rate_hz} Hz is not accepted; use {lowest_hz} to {highest_hz} Hz.",
                param="sample_rate_hz",
            )
        if not 1 <= raw.channels <= _RAW_CHANNELS:
            raise SpeechError(
                ErrorCode.INVALID_REQUEST,
                f"Raw PCM with {raw.channels} channels is not accepted; use 1 to {_RAW_CHANNELS}.",
                param="channels",
            )
        frame_bytes = PCM16_BYTES * raw.channels
        if len(data) % frame_bytes:
            raise SpeechError(
                ErrorCode.INVALID_AUDIO,
                f"{len(data)} bytes are no whole number of {frame_bytes}-byte PCM frames. Send complete samples.",
            )
        if len(data) // frame_bytes > self._limits.max_duration_s * raw.sample_rate_hz:
            raise SpeechError(
                ErrorCode.AUDIO_TOO_LONG,
                f"The audio is longer than {self._limits.max_duration_s:g} seconds. Send it in shorter pieces.",
            )
        if len(data) < _IN_THREAD_BYTES:
            return _mono_from_raw(data, raw, sample_rate_hz)
        return await anyio.to_thread.run_sync(functools.partial(_mono_from_raw, data, raw, sample_rate_hz))

    async def _decode_file(self, data: bytes, request: DecodeRequest, timeout_s: float) -> Samples:
        worker = await self._take_worker()
        reusable = False
        try:
            with anyio.fail_after(timeout_s):
                reply, samples = await worker.decode(data, request)
            reusable = not worker.spent and self._tasks is not None
        except TimeoutError:
            self._log.warning("decode_timed_out", container=request.container, input_bytes=len(data))
            raise SpeechError(
                ErrorCode.DEADLINE_EXCEEDED,
                f"Decoding the audio took longer than {timeout_s:.0f} seconds. Send it as WAV, or in pieces.",
            ) from None
        except WorkerDiedError:
            raise await self._death_of(worker, request) from None
        finally:
            if reusable:
                self._idle.append(worker)
            else:
                await self._end(worker)
        if isinstance(reply, Failed):
            raise SpeechError(reply.code, reply.message)
        return samples

    async def _death_of(self, worker: WorkerProcess, request: DecodeRequest) -> SpeechError:
        """What to tell the caller of a worker that died."""
        self._check_open()
        returncode = await worker.end()
        self._log.warning("decode_worker_died", returncode=returncode, container=request.container)
        if returncode == -signal.SIGXCPU:
            return SpeechError(ErrorCode.DEADLINE_EXCEEDED, "Decoding the audio took too long. Send it in pieces.")
        if returncode in _CRASHES:
            return SpeechError(
                ErrorCode.INVALID_AUDIO, "The file is damaged so badly that decoding failed. Record or export it again."
            )
        # Ended from outside, by the kernel's memory killer or a person, or by a fault of its own.
        return SpeechError(ErrorCode.ENGINE_FAILED, "The audio decoder ended unexpectedly. Try again.")

    @asynccontextmanager
    async def _slot(self) -> AsyncGenerator[None]:
        """The right to use one worker."""
        self._check_open()
        acquired = False
        if self._slots.value or self._slots.statistics().tasks_waiting < self._limits.max_waiting:
            with anyio.move_on_after(self._limits.wait_s):
                await self._slots.acquire()
                acquired = True
        if not acquired:
            raise SpeechError(
                ErrorCode.OVERLOADED,
                "Too many uploads are being decoded. Try again in a moment.",
                retry_after_s=_RETRY_AFTER_S,
            )
        try:
            self._check_open()
            yield
        finally:
            self._slots.release()

    async def _take_worker(self) -> WorkerProcess:
        while self._idle:
            worker = self._idle.pop()
            if worker.running:
                return worker
            await self._end(worker)  # Died while idle: no caller's concern.
        return await self._start_worker()

    async def _start_worker(self) -> WorkerProcess:
        worker = await _started(self._command)
        self._alive.add(worker)
        ready = False
        try:
            with anyio.move_on_after(self._limits.start_s):
                await worker.wait_ready()
                self._check_open()
                ready = True
        except WorkerDiedError:
            self._check_open()
        finally:
            if not ready:
                await self._end(worker)
        if not ready:
            raise SpeechError(ErrorCode.ENGINE_FAILED, "The audio decoder does not start. Its log says why.")
        return worker

    def _check_open(self) -> None:
        if self._tasks is None:
            raise SpeechError(ErrorCode.SHUTTING_DOWN, "The server is shutting down.")

    async def _start_ahead(self) -> None:
        """Have a worker ready for the first upload."""
        try:
            async with self._slot():
                self._idle.append(await self._start_worker())
        except (SpeechError, OSError) as error:
            self._log.error("decode_worker_did_not_start", error=str(error))

    async def _end(self, worker: WorkerProcess) -> None:
        self._alive.discard(worker)
        await worker.end()


async def _started(command: Sequence[str]) -> WorkerProcess:
    # Cancelled halfway, starting would leave behind a process that nobody knows of.
    with anyio.CancelScope(shield=True):
        return await WorkerProcess.start(command)
    raise AssertionError("a shielded scope is left by its return alone")


def _mono_from_raw(data: bytes, raw: RawPcm, sample_rate_hz: int) -> Samples:
    samples = float_from_pcm16(data).reshape(-1, raw.channels).mean(axis=1, dtype=np.float32)
    return resample(samples, raw.sample_rate_hz, sample_rate_hz)
