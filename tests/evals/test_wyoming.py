import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStop
from wyoming.event import Event
from wyoming.server import AsyncEventHandler, AsyncTcpServer

from evals.decoding import wav
from evals.targets.wyoming import WyomingTranscriber
from schemas.errors import ErrorCode, SpeechError

pytestmark = pytest.mark.anyio

SECOND = wav(np.full(24_000, 0.25, np.float32), 24_000)


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Recogniser(AsyncEventHandler):
    """Tells how much it heard, in which language; or leaves without a word."""

    def __init__(self, *args: Any, silent: bool) -> None:
        super().__init__(*args)
        self._silent = silent
        self._language: str | None = None
        self._samples = 0

    async def handle_event(self, event: Event) -> bool:
        if Transcribe.is_type(event.type):
            self._language = Transcribe.from_event(event).language
        elif AudioChunk.is_type(event.type):
            self._samples += len(AudioChunk.from_event(event).audio) // 2
        elif AudioStop.is_type(event.type):
            if not self._silent:
                await self.write_event(Transcript(text=f" {self._samples} {self._language}").event())
            return False
        return True


@asynccontextmanager
async def listening(port: int, *, silent: bool = False) -> AsyncGenerator[str]:
    server = AsyncTcpServer("127.0.0.1", port)
    await server.start(partial(Recogniser, silent=silent))
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop()


async def test_a_recording_goes_at_16_khz_and_its_text_comes_back(free_port: int) -> None:
    async with listening(free_port) as place:
        asked = WyomingTranscriber(place, "x")
        heard = await asked.transcribe(SECOND, "de")
        assert heard.text == "16000 de"
        assert heard.took_s > 0
        assert await asked.detect_language(SECOND) is None


async def test_a_server_that_leaves_without_a_transcript_is_an_error(free_port: int) -> None:
    async with listening(free_port, silent=True) as place:
        with pytest.raises(SpeechError, match="without a transcript"):
            await WyomingTranscriber(place, "x").transcribe(SECOND, None)


async def test_a_server_that_is_not_there_may_be_asked_again(free_port: int) -> None:
    with pytest.raises(SpeechError, match="does not answer") as caught:
        await WyomingTranscriber(f"127.0.0.1:{free_port}", "x").transcribe(SECOND, None)
    assert caught.value.code is ErrorCode.OVERLOADED
