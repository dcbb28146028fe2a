"""A server under load, and with many callers at once who must not see each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import anyio
import httpx
import numpy as np
import soxr

from evals.decoding import wav
from evals.runner import Failure
from evals.system.canaries import Held, Secrets, hold_all, leaks
from evals.system.figures import Isolation, Level
from evals.system.load import Answer, Ask, arrivals_s, offered
from evals.system.memory import Watch
from evals.targets.base import Synthesizer, Transcriber
from evals.turns.corpus import rng_of
from schemas.audio import SESSION_RATE_HZ
from schemas.errors import SpeechError

AFTER_S: Final = 3.0
"""Silence after what a user says: the longest that ends a turn."""
_GIVE_UP_S: Final = 60.0
"""A caller waits no longer."""
_LONGER: Final = 4.0
"""Times as long as was asked for, at most, does a load last on a machine that gets few requests in that time."""


async def under_load(
    ask: Ask,
    loads: Sequence[float],
    capacity_per_s: float,
    *,
    for_s: float,
    least: int,
    seed: int,
    pid: int | None,
    advance: Callable[[], None],
) -> list[Level]:
    """Load after load; the server comes to rest between them.

    Args:
        ask: Sends a request.
        loads: Shares of the capacity, rising.
        capacity_per_s: Requests a second.
        for_s: How long each lasts.
        least: Requests that each should have: a slow server is loaded for longer.
        seed: Draws when requests come.
        pid: Of the server, to see its memory.
        advance: Called after each.
    """
    found: list[Level] = []
    for load in loads:
        per_s = load * capacity_per_s
        lasts_s = lasting_s(per_s, for_s, least)
        due_s = arrivals_s(per_s, lasts_s, rng_of(seed, f"load {load:g}"))
        watch = Watch(pid)
        answers: list[Answer] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.run)
            answers += await offered(ask, due_s, limit_s=_GIVE_UP_S)
            tasks.cancel_scope.cancel()
        found.append(
            Level(load=load, per_s=per_s, for_s=lasts_s, answers=tuple(answers), memory_mb=tuple(watch.seen_mb))
        )
        advance()
    return found


def lasting_s(per_s: float, for_s: float, least: int) -> float:
    """How long a load lasts: as long as was asked for, or until there were enough requests."""
    return min(_LONGER * for_s, max(for_s, least / per_s))


async def spoken(synthesizer: Synthesizer, secrets: Sequence[Secrets]) -> list[bytes]:
    """What the users say, by the target's own voice, as files that end in silence."""
    files: list[bytes] = []
    for one in secrets:
        speech = await synthesizer.speak(one.spoken, voice=None, language="en")
        samples = np.asarray(soxr.resample(speech.samples, speech.rate_hz, SESSION_RATE_HZ), np.float32)
        files.append(wav(np.pad(samples, (SESSION_RATE_HZ // 2, round(AFTER_S * SESSION_RATE_HZ)))))
    return files


async def isolated_requests(
    transcriber: Transcriber, secrets: Sequence[Secrets], files: Sequence[bytes], advance: Callable[[], None]
) -> Isolation:
    """Recordings that are recognised all at once, and so in the same batches."""
    texts: dict[int, str] = {}
    failed: list[str] = []

    async def recognise(number: int) -> None:
        try:
            texts[number] = (await transcriber.transcribe(files[number], "en")).text
        except SpeechError as error:
            failed.append(error.message)
        advance()

    async with anyio.create_task_group() as tasks:
        for number in range(len(files)):
            tasks.start_soon(recognise, number)
    words = [(secrets[number].user,) for number in texts]
    return _isolation(words, list(texts.values()), list(texts.values()), "request", failed)


async def isolated_sessions(
    http: httpx.AsyncClient,
    secrets: Sequence[Secrets],
    files: Sequence[bytes],
    *,
    at_once: int,
    advance: Callable[[], None],
) -> Isolation:
    """Sessions with secrets, so many at a time."""
    found = await hold_all(http, list(zip(secrets, files, strict=True)), at_once=at_once, advance=advance)
    held = [one for one in found if isinstance(one, Held)]
    failed = [one.message for one in found if isinstance(one, Failure)]
    words = [(one.secrets.user, one.secrets.agent) for one in held]
    return _isolation(words, [one.told for one in held], [one.understood for one in held], "session", failed)


def _isolation(
    words: Sequence[Sequence[str]], told: Sequence[str], understood: Sequence[str], what: str, failed: Sequence[str]
) -> Isolation:
    found = leaks(words, told)
    return Isolation(
        leaked=tuple(f"“{one.word}” of {what} {one.of} in {what} {one.seen_in}" for one in found),
        pairs=sum(map(len, words)) * (len(told) - 1),
        failed=tuple(failed),
        recognised=tuple(own[0] in text.lower() for own, text in zip(words, understood, strict=True)),
    )
