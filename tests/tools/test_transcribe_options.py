"""What a caller asks of recognition reaches the engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from engines.base import AsrOptions
from engines.host import EngineHost
from schemas.audio import Samples
from schemas.transcripts import AsrTask

pytestmark = pytest.mark.anyio


async def test_every_option_of_the_call_reaches_the_engine(
    call: Callable[..., Awaitable[Any]], user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[AsrOptions] = []
    transcribe_stream = EngineHost.transcribe_stream

    def spied(host: EngineHost, samples: Samples, options: AsrOptions, **rest: Any) -> AbstractAsyncContextManager[Any]:
        asked.append(options)
        return transcribe_stream(host, samples, options, **rest)

    monkeypatch.setattr(EngineHost, "transcribe_stream", spied)
    await call(
        "transcribe",
        audio=user.speech_base64("Hello."),
        sample_rate_hz=16_000,
        task="translate",
        language="de",
        prompt="A talk about birds.",
        hotwords=["Antiphon", "wren"],
        beam_size=3,
        temperature=0.4,
        word_times=True,
    )
    assert asked == [
        AsrOptions(
            task=AsrTask.TRANSLATE,
            language="de",
            prompt="A talk about birds.",
            hotwords=("Antiphon", "wren"),
            beam_size=3,
            temperature=0.4,
            word_times=True,
        )
    ]
