"""Whether anything said in one session is ever seen in another.

Each session hears a secret word of its own from its user and says another; afterwards all that the server told of it
is searched for the words of all the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import anyio
import httpx
from msgspec import Struct

from evals.runner import Failure
from evals.system.event_stream import events
from evals.system.plain_session import Session
from schemas.errors import SpeechError

_USERS: Final = tuple(
    "pineapple elephant umbrella chocolate helicopter strawberry dinosaur telephone butterfly volcano "
    "mushroom crocodile hospital guitar penguin tomato".split()
)
_AGENTS: Final = tuple(
    "banana kangaroo mountain library dolphin potato violin spider airplane sandwich camera tiger lemon castle "
    "octopus bicycle".split()
)
MOST_SESSIONS: Final = len(_USERS)


class Secrets(Struct, frozen=True):
    """What is said in one session and in no other."""

    user: str
    agent: str

    @property
    def spoken(self) -> str:
        """What the user says."""
        return f"My secret word for today is {self.user}."

    @property
    def answer(self) -> str:
        """What the agent says."""
        return f"And mine, this time, is {self.agent}."


class Held(Struct, frozen=True, kw_only=True):
    """A session that is over."""

    secrets: Secrets
    told: str
    """All that the server ever told of it."""
    understood: str
    """What it took the user to have said."""


class Leak(Struct, frozen=True):
    """A word where it should not be."""

    word: str
    of: int
    """The session whose word it is."""
    seen_in: int


def secrets(n: int) -> tuple[Secrets, ...]:
    """Of so many sessions, :data:`MOST_SESSIONS` at most."""
    return tuple(Secrets(user, agent) for user, agent in zip(_USERS[:n], _AGENTS[:n], strict=True))


def leaks(words: Sequence[Sequence[str]], told: Sequence[str]) -> list[Leak]:
    """Every word of one that was seen in another.

    Args:
        words: By session, those that are its own.
        told: By session, all that was told of it.
    """
    seen = [set(re.findall(r"\w+", text.lower())) for text in told]
    return [
        Leak(word, of, place)
        for of, own in enumerate(words)
        for word in own
        for place, there in enumerate(seen)
        if place != of and word in there
    ]


async def hold(http: httpx.AsyncClient, one: Secrets, wav: bytes) -> Held:
    """One session: its user speaks, its agent answers, and everything is asked for in every way there is.

    Args:
        http: Of the server.
        one: What is said.
        wav: The user's audio, with enough silence behind it to end a turn.

    Raises:
        SpeechError: The server refused something, or the turn did not end.
    """
    session = await Session.open(http)
    live = await session.hear(wav)
    said = await session.say(one.answer)
    conversation = await session.conversation()
    await session.close()
    after = [event async for event in events(http, session.path)]
    understood = [str(event.content["text"]) for event in after if event.type == "turn.ended"]
    told = [*(event.data for event in (*live, *after)), said, conversation]
    return Held(secrets=one, told="\n".join(told), understood=" ".join(understood))


async def hold_all(
    http: httpx.AsyncClient, wavs: Sequence[tuple[Secrets, bytes]], *, at_once: int, advance: Callable[[], None]
) -> list[Held | Failure]:
    """Sessions, so many at a time: those that come later get what those before have left."""
    found: dict[int, Held | Failure] = {}
    limiter = anyio.CapacityLimiter(at_once)

    async def one(number: int, own: Secrets, wav: bytes) -> None:
        async with limiter:
            try:
                found[number] = await hold(http, own, wav)
            except SpeechError as error:
                found[number] = Failure(error.code, error.message)
        advance()

    async with anyio.create_task_group() as tasks:
        for number, (own, wav) in enumerate(wavs):
            tasks.start_soon(one, number, own, wav)
    return [found[number] for number in range(len(wavs))]
