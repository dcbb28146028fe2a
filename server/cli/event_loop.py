"""The event loop of a command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple, Unpack

import anyio

T = TypeVar("T")
Args = TypeVarTuple("Args")


def run(function: Callable[[Unpack[Args]], Awaitable[T]], *args: *Args) -> T:
    """The result of an async function.

    One failure inside task groups comes out as itself, so that a command tells a ``SpeechError`` as such.
    """
    try:
        return anyio.run(function, *args)
    except BaseExceptionGroup as group:
        raise _innermost(group) from None


def _innermost(group: BaseExceptionGroup[BaseException]) -> BaseException:
    match group.exceptions:
        case (BaseExceptionGroup() as inner,):
            return _innermost(inner)
        case (error,):
            return error
        case _:
            return group
