"""What was spoken before is there at once."""

from __future__ import annotations

import anyio
import numpy as np
import pytest

from engines.caller import Caller
from engines.fake import FakeBehaviour, fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from schemas.speech import SpeechChunk, SpeechOptions

pytestmark = pytest.mark.anyio

PATIENCE_S = 10.0


async def spoken(host: EngineHost, text: str, options: SpeechOptions | None = None) -> list[SpeechChunk]:
    with anyio.fail_after(PATIENCE_S):
        async with host.synthesize(text, options=options) as chunks:
            return [chunk async for chunk in chunks]


async def test_the_same_prompt_is_the_same_audio_and_needs_no_engine() -> None:
    behaviour = FakeBehaviour()
    async with EngineHost(fake_engines(behaviour=behaviour), HostSettings(grace_s=0.0)) as host:
        first = await spoken(host, "One moment, please.")
        behaviour.hang()
        try:
            again = await spoken(host, "One moment, please.")
        finally:
            behaviour.go_on()
    assert [chunk.words for chunk in again] == [chunk.words for chunk in first]
    assert all(np.array_equal(one.samples, two.samples) for one, two in zip(again, first, strict=True))


async def test_spoken_in_another_way_it_is_made_anew() -> None:
    async with EngineHost(fake_engines(), HostSettings()) as host:
        for options in (None, SpeechOptions(), SpeechOptions(speed=2.0), SpeechOptions(gain_db=-6.0)):
            await spoken(host, "Hello.", options)
        stats = host.prompt_stats()
        assert (stats.hits, stats.misses, stats.prompts) == (1, 3, 3)


async def test_what_one_tenant_had_spoken_is_made_anew_for_another() -> None:
    async with EngineHost(fake_engines(), HostSettings()) as host:
        for tenant in ("us", "them", "us"):
            await spoken(host.on_behalf_of(Caller(tenant=tenant)), "Your code is 4711.")
        stats = host.prompt_stats()
        assert (stats.hits, stats.misses, stats.prompts) == (1, 2, 2)


async def test_who_leaves_in_the_middle_leaves_nothing_behind() -> None:
    async with EngineHost(fake_engines(), HostSettings()) as host:
        async with host.synthesize("One moment, please. I look it up.") as chunks:
            await anext(aiter(chunks))
        assert host.prompt_stats().prompts == 0


async def test_without_memory_for_them_prompts_are_made_each_time() -> None:
    async with EngineHost(fake_engines(), HostSettings(prompt_cache_bytes=0)) as host:
        await spoken(host, "Hello.")
        await spoken(host, "Hello.")
        assert host.prompt_stats().hits == 0
