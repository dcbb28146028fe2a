"""Transcripts of turns that are still spoken: real recordings, as a microphone would send them."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import anyio
import httpx
import jiwer
import msgspec
import pytest
from websockets.asyncio.client import connect

from schemas.audio import Samples, pcm16_from_float

pytestmark = [pytest.mark.flow, pytest.mark.real, pytest.mark.anyio, pytest.mark.timeout(600)]

RATE_HZ = 16_000
FRAME_S = 0.02
FRAME_BYTES = 2 * int(RATE_HZ * FRAME_S)
FILES = 8
TAIL_S = 1.5


def words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


class Turn:
    """What was told of one turn: its partials, and how it ended."""

    def __init__(self) -> None:
        self.partials: list[dict[str, Any]] = []
        self.text = ""

    @property
    def committed(self) -> list[str]:
        return words(self.partials[-1]["stable_text"]) if self.partials else []


async def turns_of(server: Any, language: str, audio: bytes) -> list[Turn]:
    """The turns of a recording that is sent as it was spoken."""
    turns: dict[int, Turn] = {}
    open_turns: set[int] = set()
    sent = anyio.Event()
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        session = (await client.post("/v1/sessions", json={"language": language})).raise_for_status().json()
    path = f"/v1/sessions/{session['session_id']}/stream"
    async with connect(server.url.replace("http", "ws") + path) as socket, anyio.create_task_group() as tasks:

        async def receive() -> None:
            async for message in socket:
                event = msgspec.json.decode(message)
                match event["type"]:
                    case "speech.started":
                        turns[event["turn"]] = Turn()
                        open_turns.add(event["turn"])
                    case "turn.reopened":
                        open_turns.add(event["turn"])
                    case "transcript.partial":
                        turns[event["turn"]].partials.append(event)
                    case "turn.ended":
                        turns[event["turn"]].text = event["text"]
                        open_turns.remove(event["turn"])
                    case _:
                        pass
                if sent.is_set() and not open_turns:
                    await socket.close()

        tasks.start_soon(receive)
        begun_s = anyio.current_time()
        for number, start in enumerate(range(0, len(audio), FRAME_BYTES)):
            await anyio.sleep_until(begun_s + number * FRAME_S)  # as a microphone: the models have as long as then
            await socket.send(audio[start : start + FRAME_BYTES])
        sent.set()
        if not open_turns:
            await socket.close()
    return list(turns.values())


async def test_committed_words_never_change_and_mostly_are_those_of_the_final_transcript(
    server: Any,
    speech_manifest: list[dict[str, Any]],
    recording: Callable[[str], Samples],
    record_property: Callable[[str, object], None],
) -> None:
    rows = [row for row in speech_manifest if row["kind"] == "utterance" and row["language"] == "en"]
    longest = sorted(rows, key=lambda row: -row["duration_s"])[:FILES]
    turns: list[Turn] = []
    with anyio.fail_after(500):
        for row in longest:
            audio = pcm16_from_float(recording(row["file"])) + bytes(int(2 * RATE_HZ * TAIL_S))
            turns += await turns_of(server, row["language"], audio)
    for turn in turns:
        for before, after in pairwise(turn.partials):
            assert after["stable_text"].startswith(before["stable_text"])
        assert all(partial["text"].startswith(partial["stable_text"]) for partial in turn.partials)
    settled = [turn for turn in turns if turn.committed]
    consistent = [turn for turn in settled if words(turn.text)[: len(turn.committed)] == turn.committed]
    committed_words = sum(len(turn.committed) for turn in settled)
    record_property("turns_with_committed_words", len(settled))
    record_property("turns_whose_final_begins_with_them", len(consistent))
    record_property("committed_words", committed_words)
    record_property("final_words", sum(len(words(turn.text)) for turn in turns))
    wrong = jiwer.process_words(
        [" ".join(turn.committed) for turn in settled],
        [" ".join(words(turn.text)[: len(turn.committed)]) for turn in settled],
    )
    record_property("committed_words_that_the_final_has_otherwise_percent", round(100 * wrong.wer, 1))
    assert settled
    assert len(consistent) > len(settled) / 2
