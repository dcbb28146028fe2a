"""Failures of HTTP servers, as ours."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Final

import httpx
import msgspec

from schemas.errors import ErrorBody, ErrorCode, SpeechError

_SHOWN_CHARS: Final = 300


@asynccontextmanager
async def told(name: str) -> AsyncGenerator[None]:
    """Within the block, a connection that fails is a ``SpeechError``: ``overloaded``, since it may be tried again."""
    try:
        yield
    except httpx.TransportError as error:
        raise no_answer(f"{name} does not answer", error) from error


def no_answer(what: str, error: Exception) -> SpeechError:
    """A connection that failed: ``overloaded``, since it may be tried again."""
    return SpeechError(ErrorCode.OVERLOADED, f"{what}: {str(error) or type(error).__name__}")


@contextmanager
def ungrouped() -> Generator[None]:
    """Within the block, what a server says comes out of task groups as itself: the first of them, if all are such."""
    try:
        yield
    except ExceptionGroup as group:
        said, others = group.split(SpeechError)
        if said is None or others is not None:
            raise
        raise _first(said) from None


def _first(group: ExceptionGroup[SpeechError]) -> SpeechError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


async def checked(response: httpx.Response, name: str) -> httpx.Response:
    """The response, unless it is an error.

    Raises:
        SpeechError: As :func:`refusal`.
    """
    if response.is_success:
        return response
    raise refusal(response.status_code, await response.aread(), name)


def refusal(status: int, content: bytes, name: str) -> SpeechError:
    """What an Antiphon says with an error, or the nearest to the status of another server."""
    try:
        detail = msgspec.json.decode(content, type=ErrorBody).error
        return SpeechError(detail.code, detail.message, param=detail.param, retry_after_s=detail.retry_after_s)
    except msgspec.DecodeError:
        pass
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        code = ErrorCode.OVERLOADED
    else:
        code = ErrorCode.INTERNAL if status >= HTTPStatus.INTERNAL_SERVER_ERROR else ErrorCode.INVALID_REQUEST
    shown = content[:_SHOWN_CHARS].decode(errors="replace")
    return SpeechError(code, f"{name} answered with status {status}: {shown}")
