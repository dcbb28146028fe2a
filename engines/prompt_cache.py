"""Whole prompts, kept as audio: “One moment, please.” is made once.

Only what was spoken to its end is kept; what is heard again is the same audio, sample for sample. It lives on the
event loop and needs no worker, so a prompt that is known is there at once however busy the engines are.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from cachetools import LRUCache
from msgspec import Struct

from schemas.speech import SpeechChunk, SpeechOptions, Voice

_CHUNK_BYTES: Final = 200
_WORD_BYTES: Final = 250
"""What a chunk and a word weigh beside samples and text, about."""
_MAX_SHARE: Final = 1 / 8
"""Of all the memory for one prompt: a chapter read aloud must not drive out a hundred greetings."""


class Prompt(Struct, frozen=True):
    """What must be the same for the audio to be."""

    voice: Voice
    text: str
    options: SpeechOptions
    tenant: str | None
    """Whose it is: how soon a prompt is there must not tell others that it was spoken."""


class PromptCacheStats(Struct, frozen=True, kw_only=True):
    """Counters since start, and what is kept now."""

    hits: int
    misses: int
    prompts: int
    size_bytes: int
    max_bytes: int


class PromptCache:
    """The prompts used last, as far as there is room. All methods are called on the event loop.

    Args:
        max_bytes: Memory for all of them; 0 keeps none.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: LRUCache[Prompt, tuple[SpeechChunk, ...]] = LRUCache(max_bytes, getsizeof=_size_bytes)
        self._hits = 0
        self._misses = 0

    def get(self, prompt: Prompt) -> tuple[SpeechChunk, ...] | None:
        """The prompt's audio, if it is kept."""
        chunks = self._kept.get(prompt)
        if chunks is None:
            self._misses += 1
        else:
            self._hits += 1
        return chunks

    async def keeping(self, prompt: Prompt, chunks: AsyncIterator[SpeechChunk]) -> AsyncGenerator[SpeechChunk]:
        """The same chunks; when the last has been taken, the prompt is kept."""
        taken: list[SpeechChunk] | None = []
        size_bytes = 0
        async for chunk in chunks:
            size_bytes += _size_bytes((chunk,))
            if size_bytes > self._max_bytes * _MAX_SHARE:
                taken = None
            if taken is not None:
                taken.append(chunk)
            yield chunk
        if taken:
            self._kept[prompt] = tuple(taken)

    def forget(self, model: str) -> None:
        """Drop what a model has spoken: it is not the one it was."""
        for prompt in [prompt for prompt in self._kept if prompt.voice.model == model]:
            del self._kept[prompt]

    def stats(self) -> PromptCacheStats:
        """A snapshot of the counters."""
        return PromptCacheStats(
            hits=self._hits,
            misses=self._misses,
            prompts=len(self._kept),
            size_bytes=int(self._kept.currsize),
            max_bytes=self._max_bytes,
        )


def _size_bytes(chunks: tuple[SpeechChunk, ...]) -> int:
    return sum(chunk.samples.nbytes + _CHUNK_BYTES + _WORD_BYTES * len(chunk.words) for chunk in chunks)
