from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

pytestmark = pytest.mark.anyio


async def test_languages_come_most_probable_first(call: Callable[..., Awaitable[Any]], user: Any) -> None:
    result = await call("detect_language", audio=user.speech_base64("Hello."), sample_rate_hz=16_000)
    assert result.language == "en"
    assert result.candidates[0].probability == result.probability
    probabilities = [guess.probability for guess in result.candidates]
    assert probabilities == sorted(probabilities, reverse=True)
