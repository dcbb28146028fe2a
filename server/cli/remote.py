"""A running server, as a client of its HTTP API."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import click
import httpx
import msgspec

from schemas.errors import ErrorBody, ErrorCode, ErrorDetail, SpeechError

KEY_ENV: Final = "ANTIPHON_API_KEY"
"""Where commands find the key they send."""
_CONNECT_TIMEOUT_S: Final = 5.0
_TIMEOUT_S: Final = 600.0
"""Long recordings take long."""


@asynccontextmanager
async def remote_server(url: str) -> AsyncGenerator[httpx.AsyncClient]:
    """A client whose base is the server's address.

    Raises:
        ClickException: Inside the block, if nothing answers there.
    """
    timeout = httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    try:
        base_url = url.rstrip("/").removesuffix("/v1")
        async with httpx.AsyncClient(base_url=base_url, timeout=timeout, headers=credentials()) as client:
            yield client
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise click.ClickException(
            f"No answer from {url} ({type(error).__name__}). Is a server running there? Start one: antiphon serve"
        ) from error


def credentials() -> dict[str, str]:
    """The header by which commands come in, if the environment has a key."""
    key = os.environ.get(KEY_ENV)
    return {"Authorization": f"Bearer {key}"} if key else {}


async def raise_for_error(response: httpx.Response) -> None:
    """Raise what an error response says as the :class:`SpeechError` it was in the server."""
    if response.is_success:
        return
    try:
        detail = msgspec.json.decode(await response.aread(), type=ErrorBody).error
    except msgspec.DecodeError as error:
        raise SpeechError(
            ErrorCode.INTERNAL, f"The server answered with status {response.status_code}. Is it an Antiphon server?"
        ) from error
    raise _failure(detail)


async def events(response: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    """Name and data of each server-sent event of an Antiphon server, which writes the data on one line.

    Raises:
        SpeechError: What an ``error`` event says.
    """
    name = ""
    async for line in response.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data" and name == "error":
            raise _failure(msgspec.json.decode(value, type=ErrorBody).error)
        elif field == "data":
            yield name, value


def _failure(detail: ErrorDetail) -> SpeechError:
    return SpeechError(detail.code, detail.message, param=detail.param, retry_after_s=detail.retry_after_s)
