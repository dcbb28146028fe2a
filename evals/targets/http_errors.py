"""Failures of HTTP servers, as ours."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
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
        raise SpeechError(ErrorCode.OVERLOADED, f"{name} does not answer: {error or type(error).__name__}") from error


async def checked(response: httpx.Response, name: str) -> httpx.Response:
    """The response, unless it is an error.

    Raises:
        SpeechError: What an Antiphon says, or the nearest to the status of another.
    """
    if response.is_success:
        return response
    content = await response.aread()
    try:
        detail = msgspec.json.decode(content, type=ErrorBody).error
        raise SpeechError(detail.code, detail.message, param=detail.param, retry_after_s=detail.retry_after_s)
    except msgspec.DecodeError:
        pass
    busy = response.status_code in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
    code = (
        ErrorCode.OVERLOADED if busy else ErrorCode.INTERNAL if response.is_server_error else ErrorCode.INVALID_REQUEST
    )
    shown = content[:_SHOWN_CHARS].decode(errors="replace")
    raise SpeechError(code, f"{name} answered with status {response.status_code}: {shown}")
