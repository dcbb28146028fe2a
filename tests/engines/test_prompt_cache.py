from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engines.prompt_cache import Prompt, PromptCache
from schemas.speech import LexiconEntry, SpeechChunk, SpeechOptions, SpokenWord, Voice

VOICE = Voice("v", "m", "en-US", 24_000)
HELLO = Prompt(VOICE, "hello", SpeechOptions(), "us")


def chunk(samples: int = 100, *, words: int = 0) -> SpeechChunk:
    word = SpokenWord("hello", 0, 5, 0.0, 0.5)
    return SpeechChunk(np.zeros(samples, np.float32), 24_000, (word,) * words)


async def made(*chunks: SpeechChunk) -> AsyncGenerator[SpeechChunk]:
    for each in chunks:
        yield each


async def speak(cache: PromptCache, prompt: Prompt, *chunks: SpeechChunk) -> list[SpeechChunk]:
    return [each async for each in cache.keeping(prompt, made(*chunks))]


@pytest.mark.anyio
async def test_what_was_spoken_to_its_end_is_there_at_once() -> None:
    cache = PromptCache(100_000)
    assert cache.get(HELLO) is None
    chunks = chunk(words=1), chunk(50)
    assert await speak(cache, HELLO, *chunks) == list(chunks)
    assert cache.get(HELLO) == chunks
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.prompts) == (1, 1, 1)
    assert 600 < stats.size_bytes < stats.max_bytes == 100_000


@pytest.mark.anyio
@pytest.mark.parametrize(
    "other",
    [
        replace(HELLO, voice=replace(VOICE, id="w")),
        replace(HELLO, text="hello."),
        replace(HELLO, options=SpeechOptions(speed=1.1)),
        replace(HELLO, options=SpeechOptions(lexicon=(LexiconEntry(word="hello", ipa="həˈloʊ"),))),
    ],
)
async def test_another_prompt_is_another_prompt(other: Prompt) -> None:
    cache = PromptCache(100_000)
    await speak(cache, HELLO, chunk())
    assert cache.get(other) is None


@pytest.mark.anyio
async def test_what_its_listener_left_is_not_kept() -> None:
    cache = PromptCache(100_000)
    spoken = cache.keeping(HELLO, made(chunk(), chunk()))
    await anext(spoken)
    await spoken.aclose()
    assert cache.get(HELLO) is None


@pytest.mark.anyio
async def test_what_failed_is_not_kept() -> None:
    async def failing() -> AsyncGenerator[SpeechChunk]:
        yield chunk()
        raise RuntimeError

    cache = PromptCache(100_000)
    with pytest.raises(RuntimeError):
        async for _ in cache.keeping(HELLO, failing()):
            pass
    assert cache.get(HELLO) is None


@pytest.mark.anyio
async def test_silence_without_chunks_is_not_kept() -> None:
    cache = PromptCache(100_000)
    await speak(cache, HELLO)
    assert cache.stats().prompts == 0


@pytest.mark.anyio
async def test_a_chapter_is_spoken_and_not_kept() -> None:
    cache = PromptCache(100_000)
    assert len(await speak(cache, HELLO, *(chunk(1_000) for _ in range(4)))) == 4
    assert cache.get(HELLO) is None


@pytest.mark.anyio
async def test_what_was_used_longest_ago_makes_room() -> None:
    cache = PromptCache(10_000)
    prompts = [replace(HELLO, text=str(number)) for number in range(12)]
    for prompt in prompts:
        cache.get(prompts[0])
        await speak(cache, prompt, chunk(200))
    assert cache.get(prompts[0]) is not None
    assert cache.get(prompts[1]) is None
    assert cache.get(prompts[-1]) is not None


@pytest.mark.anyio
async def test_a_cache_of_no_bytes_keeps_nothing() -> None:
    cache = PromptCache(0)
    assert len(await speak(cache, HELLO, chunk())) == 1
    assert cache.stats().prompts == 0


@pytest.mark.anyio
async def test_the_prompts_of_one_model_can_be_forgotten() -> None:
    cache = PromptCache(100_000)
    other = replace(HELLO, voice=replace(VOICE, model="n"))
    await speak(cache, HELLO, chunk())
    await speak(cache, other, chunk())
    cache.forget("m")
    assert cache.get(HELLO) is None
    assert cache.get(other) is not None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 3_000)), max_size=60))
def test_it_never_holds_more_than_it_may(spoken: list[tuple[int, int]]) -> None:
    async def run() -> None:
        cache = PromptCache(20_000)
        for text, samples in spoken:
            await speak(cache, replace(HELLO, text=str(text)), chunk(samples))
            assert cache.stats().size_bytes <= 20_000

    anyio.run(run)
