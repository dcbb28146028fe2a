"""Whether a client that loses the connection sees every event once, in order, as one that does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import anyio
import httpx
import numpy as np

from evals.system.event_stream import Event, events, followed
from evals.system.figures import Resumption
from evals.system.plain_session import Session
from evals.targets.http_errors import ungrouped
from schemas.errors import SpeechError


async def resume_all(
    http: httpx.AsyncClient,
    wavs: Sequence[bytes],
    *,
    cuts_each: int,
    answer: str = "I see. Thank you.",
    advance: Callable[[], None] = lambda: None,
) -> Resumption:
    """Sessions whose events are followed over connections that break.

    Args:
        http: Of the server.
        wavs: What the user says, one a session; its events are cut after every one, two, three of them.
        cuts_each: Of the events of a session that is over, by clients that come back at so many places.
        answer: What the agent says.
        advance: Called after each session.
    """
    cuts = 0
    mismatches: list[str] = []
    failed: list[str] = []
    for number, wav in enumerate(wavs):
        try:
            found = await _resumed(http, number, wav, cuts_each=cuts_each, answer=answer)
        except SpeechError as error:
            failed.append(f"session {number}: {error.message}")
        else:
            cuts += found.cuts
            mismatches += found.mismatches
        advance()
    return Resumption(cuts=cuts, mismatches=tuple(mismatches), failed=tuple(failed))


async def _resumed(http: httpx.AsyncClient, number: int, wav: bytes, *, cuts_each: int, answer: str) -> Resumption:
    live: list[Event] = []
    every = number % 3 + 1
    session = await Session.open(http)

    async def follow() -> None:
        live.extend(await followed(http, session.path, cut_after=every))

    with ungrouped():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await session.hear(wav)
            await session.say(answer)
            await session.close()
    whole: list[Event] = [event async for event in events(http, session.path)]
    places = sorted({round(float(place)) for place in np.linspace(1, len(whole), cuts_each)})
    rests: dict[int, list[Event]] = {}
    for place in places:
        rests[place] = [event async for event in events(http, session.path, whole[place - 1].id)]
    return Resumption(cuts=len(live) // every + len(places), mismatches=tuple(compared(number, whole, live, rests)))


def compared(
    session: int, whole: Sequence[Event], live: Sequence[Event], rests: Mapping[int, Sequence[Event]]
) -> list[str]:
    """What is not as it should be, in words.

    Args:
        session: Its number, for the words.
        whole: Its events by a connection that held.
        live: By connections that broke while it lasted.
        rests: What came after the first so many.
    """
    found: list[str] = []
    if [event.id for event in whole] != list(range(1, len(whole) + 1)):
        found.append(f"session {session}: its events are not numbered from 1 without gaps")
    if list(live) != list(whole):
        found.append(f"session {session}: {_first_difference(live, whole)} while it lasted")
    for place, rest in rests.items():
        if list(rest) != list(whole[place:]):
            found.append(f"session {session}: {_first_difference(rest, whole[place:])} after {place} events")
    return found


def _first_difference(seen: Sequence[Event], whole: Sequence[Event]) -> str:
    for got, wanted in zip(seen, whole, strict=False):
        if got != wanted:
            return f"{got.type} {got.id} in place of {wanted.type} {wanted.id}"
    return f"{len(seen)} events in place of {len(whole)}"
