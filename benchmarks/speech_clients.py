"""What is asked of a server in each protocol, and when the answer came."""

from __future__ import annotations

import time
from typing import Any, Final, cast

import anyio
import msgspec
from msgspec import Struct
from websockets.asyncio.client import connect
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient

from benchmarks.clips import Clip
from benchmarks.http_client import Connection, json_of
from benchmarks.processes import LOOPBACK
from schemas.audio import SESSION_RATE_HZ

WAV_HEADER_BYTES: Final = 44
PCM_RATE_HZ: Final = 24_000
"""Of the raw audio that ``/v1/audio/speech`` sends."""
_TIMEOUT_S: Final = 60.0
_CHUNK_BYTES: Final = 32_000


class Recognised(Struct, frozen=True):
    """A text and how long it took from the first byte sent."""

    took_s: float
    text: str


class Spoken(Struct, frozen=True):
    """Speech as it arrived."""

    first_s: float
    """From the request to the first sample: not to a header."""
    took_s: float
    audio_s: float
    arrivals: tuple[tuple[float, float], ...]
    """Seconds since the request, and seconds of audio in all by then."""


async def transcribe(connection: Connection, clip: Clip) -> Recognised:
    """``POST /v1/audio/transcriptions`` with a WAV file."""
    reply = await connection.post_file("/v1/audio/transcriptions", clip.wav, {"language": clip.language})
    return Recognised(reply.took_s, str(json_of(reply)["text"]))


async def wyoming_transcribe(port: int, clip: Clip) -> Recognised:
    """The Wyoming protocol, the whole clip at once."""
    with anyio.fail_after(_TIMEOUT_S):
        began = time.perf_counter()
        async with AsyncTcpClient(LOOPBACK, port) as client:
            await client.write_event(Transcribe(language=clip.language).event())
            form: dict[str, Any] = {"rate": SESSION_RATE_HZ, "width": 2, "channels": 1}
            await client.write_event(AudioStart(**form).event())
            pcm = clip.pcm16
            for start in range(0, len(pcm), _CHUNK_BYTES):
                chunk = AudioChunk(audio=pcm[start : start + _CHUNK_BYTES], **form)
                await client.write_event(chunk.event())
            await client.write_event(AudioStop().event())
            while (event := await client.read_event()) is not None:
                if Transcript.is_type(event.type):
                    return Recognised(time.perf_counter() - began, Transcript.from_event(event).text)
    raise RuntimeError("the connection ended without a transcript")


async def whisper_live_transcribe(port: int, clip: Clip) -> Recognised:
    """whisper-live: the whole clip at once; its first text after that counts, although it does not call it final."""
    options = {"uid": str(time.perf_counter_ns()), "language": clip.language, "task": "transcribe", "model": "base"}
    with anyio.fail_after(_TIMEOUT_S):
        async with connect(f"ws://{LOOPBACK}:{port}", max_size=None, proxy=None) as socket:
            await socket.send(msgspec.json.encode({**options, "use_vad": True}), text=True)
            while "SERVER_READY" not in str(await socket.recv()):
                pass
            began = time.perf_counter()
            await socket.send(clip.samples.tobytes())
            while True:
                message = msgspec.json.decode(await socket.recv())
                if segments := cast("dict[str, Any]", message).get("segments"):
                    took_s = time.perf_counter() - began
                    text = " ".join(str(segment["text"]).strip() for segment in segments)
                    await socket.send(b"END_OF_AUDIO")
                    return Recognised(took_s, text)


async def speak(connection: Connection, text: str, voice: str) -> Spoken:
    """``POST /v1/audio/speech`` of Antiphon: raw PCM, piece by piece."""
    body = {"input": text, "voice": voice, "response_format": "pcm"}
    reply = (await connection.post_json("/v1/audio/speech", body)).checked()
    return _spoken(reply.arrivals, PCM_RATE_HZ, 0)


async def piper_speak(connection: Connection, text: str, rate_hz: int) -> Spoken:
    """``POST /synthesize`` of piper's HTTP server: a WAV file."""
    reply = (await connection.post_json("/synthesize", {"text": text})).checked()
    return _spoken(reply.arrivals, rate_hz, WAV_HEADER_BYTES)


async def fastkokoro_speak(connection: Connection, text: str, voice: str) -> Spoken:
    """``POST /v1/audio/speech`` of fastkokoro: raw PCM, streamed."""
    body = {"input": text, "voice": voice, "response_format": "pcm", "stream": True, "model": "kokoro"}
    reply = (await connection.post_json("/v1/audio/speech", body)).checked()
    return _spoken(reply.arrivals, PCM_RATE_HZ, 0)


def _spoken(arrivals: tuple[tuple[float, int], ...], rate_hz: int, header_bytes: int) -> Spoken:
    per_s = 2 * rate_hz
    heard = tuple((at_s, (total - header_bytes) / per_s) for at_s, total in arrivals if total > header_bytes)
    if not heard:
        raise RuntimeError("there was no audio")
    return Spoken(heard[0][0], heard[-1][0], heard[-1][1], heard)
