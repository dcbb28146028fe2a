from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from engines.fake import FakeBehaviour
from schemas.errors import ErrorCode, SpeechError
from tools.registry import TOOLS
from tools.tool import ToolContext, ToolLimits

pytestmark = pytest.mark.anyio


async def test_languages_come_most_probable_first(call: Callable[..., Awaitable[Any]], user: Any) -> None:
    result = await call("detect_language", audio=user.speech_base64("Hello."), sample_rate_hz=16_000)
    assert result.language == "en"
    assert result.candidates[0].probability == result.probability
    probabilities = [guess.probability for guess in result.candidates]
    assert probabilities == sorted(probabilities, reverse=True)


async def test_an_engine_that_stands_still_is_given_up(
    context: ToolContext, call: Callable[..., Awaitable[Any]], behaviour: FakeBehaviour, user: Any
) -> None:
    audio = {"audio": base64.b64encode(user.silence(500)).decode(), "sample_rate_hz": 16_000}
    await call("detect_language", **audio)  # loads the model
    behaviour.hang()
    impatient = replace(context, limits=ToolLimits(engine_timeout_s=0.1))
    try:
        with anyio.fail_after(20), pytest.raises(SpeechError) as given_up:
            await TOOLS.call("detect_language", audio, impatient)
    finally:
        behaviour.go_on()
    assert given_up.value.code is ErrorCode.DEADLINE_EXCEEDED
